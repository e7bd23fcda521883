// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merge/tensor_statistics.h"
#include "track/store.h"

namespace forge::pipeline {

/// The tensor statistics of a search's parents: in memory once they were asked for, and, with a store, kept
/// there for later searches over the same models. A row that the store finds damaged is told of, and made and
/// written again.
class SearchStatistics : public merge::TensorStatistics {
 public:
  struct Settings {
    std::string base_hash;                   // of the base's files, or what else says which weights it has
    std::vector<std::string> parent_hashes;  // ModelHash
    track::Store* store = nullptr;           // may be null; opened for writing; outlives this
    std::function<void(const std::string&)> log = [](const std::string&) {};
  };
  explicit SearchStatistics(Settings settings);

  const merge::MagnitudeTable& Magnitudes(std::size_t parent, const std::string& tensor,
                                          const merge::Change& change, std::size_t size) override;
  std::vector<double> ChangeProducts(const std::string& tensor,
                                     const std::function<std::vector<double>()>& make) override;

  struct Counts {
    int found = 0, made = 0;                    // tables: in the store; from the weights
    int products_found = 0, products_made = 0;  // the same of ChangeProducts
  };
  Counts counts() const;

 private:
  /// What `read` makes of a row of the store; nothing without a store or row, or for a damaged one, which is
  /// told of and forgotten.
  template <class Read>
  auto FindRow(const std::string& key, const std::string& tensor, const Read& read)
      -> std::optional<decltype(read(track::Json()))>;

  Settings settings_;
  std::vector<std::string> keys_;                                                // [parents]
  std::string products_key_;                                                     // of all parents
  mutable std::mutex mutex_;                                                     // of what follows
  std::map<std::pair<std::size_t, std::string>, merge::MagnitudeTable> tables_;  // by parent and tensor
  Counts counts_;
};

}  // namespace forge::pipeline
