// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "model/model_config.h"

namespace forge::merge {

struct NamedConfig {
  std::string name;
  model::ModelConfig config;
};

/// Everything in which a model differs from the first one so that their weights must not be mixed:
/// architecture, shapes, vocabulary, RoPE base, norm epsilon, tied head, biases. One line for each
/// difference; empty: compatible.
std::vector<std::string> FindDifferences(const std::vector<NamedConfig>& models);

/// Throws Error(kInput) listing all the differences.
void CheckCompatible(const std::vector<NamedConfig>& models);

}  // namespace forge::merge
