// SPDX-License-Identifier: Apache-2.0
#include "runtime/forward_step.h"

#include <algorithm>

#include "runtime/sampler.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kHeadRows = 64;  // rows of logits held at once: 12 MiB at 49152 tokens

}  // namespace

void ForwardStep::Add(std::span<const int> added, KeyValueCache* cache, int position) {
  for (const int token : added) tokens.push_back({token, static_cast<int>(caches.size()), position++});
  caches.push_back(cache);
}

void VisitLogits(const Transformer& transformer, const ForwardStep& step, std::span<const int> wanted,
                 const std::function<void(std::size_t, std::size_t, const float*)>& visit) {
  const auto hidden = static_cast<std::size_t>(transformer.config().hidden_size);
  const auto vocabulary = static_cast<std::size_t>(transformer.config().vocab_size);
  std::vector<float> states(wanted.size() * hidden);
  thread_local std::vector<float> logits;  // kept: new memory of this size takes longer than what fills it
  transformer.Forward(step.tokens, step.caches, wanted, states.data());
  for (std::size_t first = 0; first < wanted.size(); first += kHeadRows) {
    const std::size_t count = std::min(kHeadRows, wanted.size() - first);
    logits.resize(count * vocabulary);
    transformer.Head(states.data() + first * hidden, count, logits.data());
    visit(first, count, logits.data());
  }
}

std::vector<int> BestNextTokens(const Transformer& transformer, const ForwardStep& step,
                                std::span<const int> wanted, std::span<const std::span<const int>> banned) {
  std::vector<float> states(wanted.size() * static_cast<std::size_t>(transformer.config().hidden_size));
  transformer.Forward(step.tokens, step.caches, wanted, states.data());
  std::vector<int> tokens;
  for (const std::optional<int>& token : transformer.BestTokens(states.data(), banned)) {
    if (!token) ThrowAllBanned();
    tokens.push_back(*token);
  }
  return tokens;
}

}  // namespace forge::runtime
