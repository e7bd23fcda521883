// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/philox.h"
#include "model/language_model.h"

namespace forge::runtime {

struct SampledToken {
  int token;
  float log_prob;  // under softmax(logits), before temperature, top-k and top-p; 0 unless options.log_probs
};

/// Picks the next token. temperature 0: the highest logit, the lowest id among equals. Otherwise softmax of
/// logits / temperature, cut to the top_k most probable, then to the smallest set that reaches top_p; ids of
/// equal probability are ordered by id. Banned ids are never picked (they keep their share in log_prob).
/// Throws Error(kInput) if every token is banned.
SampledToken SampleToken(std::span<const float> logits, const model::GenerateOptions& options,
                         Random& random);

/// Rows of logits [vocab_size] that are worth a task of their own: some 10 us.
inline std::size_t RowsPerTask(std::size_t vocab_size) {
  return std::max<std::size_t>(1, 16384 / vocab_size);
}

/// Whether the highest logit is all that the options ask for.
inline bool AsksForBestOnly(const model::GenerateOptions& options) {
  return options.temperature == 0 && !options.log_probs;
}

/// The error of SampleToken.
[[noreturn]] void ThrowAllBanned();

/// Throws Error(kUsage) with every option that is out of range.
void CheckGenerateOptions(const model::GenerateOptions& options);

}  // namespace forge::runtime
