// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "eval/item.h"
#include "model/model_config.h"
#include "text/tokenizer.h"
#include "train/packing.h"

namespace forge::pipeline {

/// Rows of packed texts for a student that learns from a teacher: every token but the first of each text has
/// a teacher weight.
class DistillationRows {
 public:
  static constexpr int kRowTokens = 256;

  /// `tokens` tokens in all, the same number of each domain: texts of a small domain come back, of a large
  /// one the first are used. A text is the prompt, the completion and the model's end of text; what is longer
  /// than kRowTokens becomes several. Throws Error(kInput) if a domain has no text of two tokens.
  DistillationRows(const std::map<std::string, std::vector<eval::Item>>& domains,
                   const text::Tokenizer& tokenizer, const model::ModelConfig& config, std::int64_t tokens,
                   std::uint64_t seed);

  /// Micro-batch `micro` of `micro_batches` of a step of `rows` rows. Pure.
  train::TokenBatch Batch(int step, int micro, int micro_batches, int rows) const;

 private:
  train::PackedRows rows_;
};

}  // namespace forge::pipeline
