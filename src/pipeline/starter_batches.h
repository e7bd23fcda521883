// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "eval/item.h"
#include "model/model_config.h"
#include "text/tokenizer.h"
#include "train/engine.h"

namespace forge::pipeline {

/// Qwen2, 4 layers of 128, 4 heads, 2 key-value heads, intermediate 256, tied head: 625,792 weights. Sizes
/// are multiples of 64, the group of the ternary export.
model::ModelConfig StarterModelConfig();

/// Rows of each domain in one step.
struct StarterMixture {
  int math = 0, code = 0, structured = 0, direct = 0;
  int math_max_operations = 5;
  int direct_operations = 0;  // 0: 2 to 5
};

/// Micro-batch `micro` of `micro_batches` of a step: one item a row, weight 1 on every token of the
/// completion. Pure in (mixture, seed, step, micro).
train::TokenBatch MixedStarterBatch(const text::Tokenizer& tokenizer, const StarterMixture& mixture,
                                    std::uint64_t seed, int step, int micro, int micro_batches);

/// The items of that micro-batch.
std::vector<eval::Item> MixedStarterItems(const StarterMixture& mixture, std::uint64_t seed, int step,
                                          int micro, int micro_batches);

/// Items as rows, padded at the end; the completion tokens have weight 1 in token_weights, or in
/// teacher_weights.
enum class Target { kTokens, kTeacher };
train::TokenBatch BatchOf(const text::Tokenizer& tokenizer, const std::vector<eval::Item>& items,
                          Target target);

}  // namespace forge::pipeline
