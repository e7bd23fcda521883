// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compress/layerwise.h"
#include "compress/linear_storage.h"

namespace forge::compress {

/// A linear as CompressUntrained made it: one or two ternary planes, or blocks; and the report.
struct KeptLinear {
  std::optional<model::TernaryTensor> first, second;
  std::optional<EncodedLinear> blocks;
  LinearReport report;

  /// [out, in], the values that later linears see.
  std::vector<float> Values() const;
};

/// The linears of one pass, each in a file of its own from the moment when it is done, so that a compression
/// that was stopped or killed goes on behind them, to the same bytes.
class KeptLinears {
 public:
  /// `folder` is made; empty: nothing is kept. `key` says what the pass is made from: files of another one
  /// are not used.
  KeptLinears(
      std::filesystem::path folder, std::string key,
      std::function<void(const std::string&)> log = [](const std::string&) {});

  /// Nothing for one that is not there, is of another pass, or damaged (which is told).
  std::optional<KeptLinear> Find(const model::TensorSpec& spec) const;
  /// Atomic and synced.
  void Keep(const model::TensorSpec& spec, const KeptLinear& linear) const;

 private:
  std::filesystem::path PathOf(const model::TensorSpec& spec) const {
    return folder_ / (spec.name + ".kept");
  }

  std::filesystem::path folder_;
  std::string key_;
  std::function<void(const std::string&)> log_;
};

}  // namespace forge::compress
