// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>

#include "base/metric_sink.h"
#include "io/json_file.h"

namespace forge::pipeline {

/// Share of the runs of four tokens that stood earlier in the same text; 0 below five tokens.
double RepeatedFourGrams(std::span<const int> tokens);

/// Whether a merged model still works as one: nats a token on a plain English text of forge's own, beside
/// those of `reference` (the model whose config the merge took), and four prompts continued greedily by 48
/// tokens with the share of what repeats. Loads one model after the other. Finds broken merges, not small
/// differences.
///   {"nll", "reference_nll", "reference", "tokens", "highest_repetition", "prompts": [{"prompt", "text",
///    "repetition"}]}
io::Json RunMergeSmokeTest(const std::filesystem::path& merged, const std::filesystem::path& reference,
                           MetricSink& sink);

}  // namespace forge::pipeline
