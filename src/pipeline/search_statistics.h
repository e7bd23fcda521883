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

  struct Counts {
    int found = 0, made = 0;  // tables: in the store; from the weights
  };
  Counts counts() const;

 private:
  std::optional<merge::MagnitudeTable> Find(const std::string& key, const std::string& tensor,
                                            std::size_t size);

  Settings settings_;
  std::vector<std::string> keys_;                                                // [parents]
  mutable std::mutex mutex_;                                                     // of what follows
  std::map<std::pair<std::size_t, std::string>, merge::MagnitudeTable> tables_;  // by parent and tensor
  Counts counts_;
};

}  // namespace forge::pipeline
