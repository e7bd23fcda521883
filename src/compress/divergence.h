// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/stop_token.h"
#include "model/language_model.h"

namespace forge::compress {

/// How far the next-token distributions q of a model are from those p of another, position by position.
struct Divergence {
  std::int64_t positions = 0;
  double mean = 0, p95 = 0;  // KL(p || q) in nats; the 95th percentile
  double top1 = 0;           // share of positions where both like the same token best
  double top5 = 0;           // share of positions where q's favourite is among p's five best
};

/// KL(p || q) in nats of the distributions that these logits [vocab_size] stand for; never negative.
double KullbackLeibler(std::span<const float> p, std::span<const float> q);

/// Over all positions of the texts. Memory: the logits of one text, twice. Identical models give 0 and 1.
Divergence MeasureDivergence(model::LanguageModel& original, model::LanguageModel& changed,
                             std::span<const std::vector<int>> texts, const StopToken& stop);

/// The share of different token triples among all of greedy continuations of `tokens` tokens of each text's
/// first half (distinct-3, Li et al. 2016, arXiv:1510.03055, with triples): near 1 for text, near 0 for a
/// model that repeats itself. 1 where nothing is generated.
double DistinctTriples(model::LanguageModel& model, std::span<const std::vector<int>> texts, int tokens);

}  // namespace forge::compress
