// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "runtime/transformer.h"

namespace forge::runtime {

/// The tokens of one forward pass over several sequences.
struct ForwardStep {
  std::vector<TokenInput> tokens;
  std::vector<KeyValueCache*> caches;

  /// Adds consecutive tokens of one sequence, the first at `position`.
  void Add(std::span<const int> added, KeyValueCache* cache, int position);
};

/// Runs the step, then calls visit(first, count, logits) for consecutive pieces of the wanted rows: logits
/// [count, vocab_size] are those after tokens wanted[first], wanted[first + 1], ... Holds logits of at most
/// 64 rows at once.
void VisitLogits(const Transformer& transformer, const ForwardStep& step, std::span<const int> wanted,
                 const std::function<void(std::size_t first, std::size_t count, const float* logits)>& visit);

/// Runs the step; of each wanted row the token of its highest logit, none of its `banned`
/// [wanted.size()] (Transformer::BestTokens). Throws Error(kInput) if every token is banned.
std::vector<int> BestNextTokens(const Transformer& transformer, const ForwardStep& step,
                                std::span<const int> wanted, std::span<const std::span<const int>> banned);

}  // namespace forge::runtime
