// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "eval/item.h"
#include "pipeline/model_source.h"

namespace forge::pipeline {

struct SelfTextOptions {
  int count = 1000;
  int tokens = 200;  // of a text, at most (at least 3); those that end before are shorter
  std::uint64_t seed = 1;
};

/// Texts that the model itself writes, to calibrate or train on without data of any licence (LLM-QAT,
/// arXiv:2305.17888, section 3.1): a first token drawn from the whole vocabulary, three that the model likes
/// best, the rest drawn from its distribution. Special tokens are not drawn first. As items, cut at white
/// space after a quarter; a text without one is left out, so fewer than `count` may come back. Same seed,
/// same texts. Throws Error(kInterrupted) when `stop` asks, Error(kInput) if nothing comes of it.
std::vector<eval::Item> WriteSelfTexts(const OpenedModel& model, const SelfTextOptions& options,
                                       MetricSink& sink, const StopToken& stop);

}  // namespace forge::pipeline
