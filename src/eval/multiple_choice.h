// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/log_likelihood.h"
#include "eval/task_items.h"

namespace forge::eval {

/// Which choice the model takes, three ways; the first one wins a tie.
struct ChoicePrediction {
  int best = 0;        // the largest log-likelihood: acc
  int best_norm = 0;   // the largest log-likelihood / characters of the choice: acc_norm
  int best_bytes = 0;  // the largest log-likelihood / UTF-8 bytes of the choice: acc_bytes
};

/// scores [choices]. Lengths are those of the choice without the delimiter in front, as the harness has them.
ChoicePrediction Predict(const std::vector<std::string>& choices, std::span<const PairScore> scores);

/// The pairs to score: the context with each choice. With a chat template the delimiter is left out, unless
/// it is more than white space.
std::vector<TokenPair> ChoicePairs(const ModelSession& session, const TaskItem& item);

}  // namespace forge::eval
