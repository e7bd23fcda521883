// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "io/json_file.h"

namespace forge::pipeline {

/// What the program itself takes beside the pieces that are merged: code, file headers, blocks being written.
inline constexpr std::uint64_t kMergeBaseBytes = 120 << 20;

/// Length (L2 norm) of a merged tensor divided by the root of the mean square of its sources' lengths.
struct TensorDrift {
  std::string tensor;
  double ratio = 1;
};

/// {"lowest": {tensor, ratio}, "highest": .., "median": ratio, "unusual": [..]}; unusual are those whose
/// ratio is below 0.5 or above 2, the worst 20.
io::Json ToJson(std::vector<TensorDrift> drift);

/// Adds the sha256 of the models (ModelHash) as models[i].sha256, and of the weight files in `folder` as
/// "files".
void AddHashes(const std::vector<std::filesystem::path>& models, const std::filesystem::path& folder,
               MetricSink& sink, io::Json& report);

/// A sentence for each thing in the report that a merge should not have: drift, a text that is predicted much
/// worse than by the model the config came from, prompts that end in repetition.
std::vector<std::string> MergeWarnings(const io::Json& report);

/// README.md of the result as the hub shows it: front matter (base_model, tags), the recipe, models with
/// their hashes, what was checked, and the command that makes it again.
std::string ModelCard(const io::Json& report, const std::string& name);

}  // namespace forge::pipeline
