// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace forge::model {

/// What forge needs of PEFT's adapter_config.json.
struct LoraConfig {
  int rank = 0;
  double alpha = 0;
  bool is_rank_stabilized = false;                        // use_rslora: Kalajdzievski 2023, arXiv:2312.03732
  std::vector<std::pair<std::string, int>> rank_pattern;  // module path, or its end -> rank; the first wins
  std::vector<std::pair<std::string, double>> alpha_pattern;  // the same for alpha
  std::vector<std::string> saved_modules;                     // modules_to_save

  int RankOf(const std::string& module) const;
  /// What B A is multiplied by in this module, "model.layers.0.mlp.up_proj".
  double ScaleOf(const std::string& module) const;
  /// PEFT takes every module whose name ends so: "norm" is input_layernorm too.
  bool IsSaved(const std::string& module) const;
};

/// Throws Error(kInput) with every setting that makes the adapter more than scale * B A, and for keys of the
/// patterns that are regular expressions.
LoraConfig ReadLoraConfig(const std::filesystem::path& adapter_config_json);

}  // namespace forge::model
