// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <algorithm>

#include "runtime/prefix_tree.h"
#include "runtime/sampler.h"

namespace forge::runtime {

Session::Session(const NativeModel& model) : model_(model), cache_(model.transformer().MakeCache(0)) {}

void Session::Run(std::span<const int> tokens, std::vector<float>& logits) {
  const auto hidden = static_cast<std::size_t>(model_.config().hidden_size);
  const std::size_t needed = held_.size() + tokens.size();
  if (needed > static_cast<std::size_t>(cache_.capacity()))  // doubled, so that growing stays cheap
    cache_.Reserve(
        static_cast<int>(std::min(std::max<std::size_t>(2 * needed, 256),
                                  static_cast<std::size_t>(model_.config().max_position_embeddings))));
  std::vector<TokenInput> inputs;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    inputs.push_back({tokens[i], 0, static_cast<int>(held_.size() + i)});
  KeyValueCache* const caches[] = {&cache_};
  const int last[] = {static_cast<int>(inputs.size()) - 1};
  std::vector<float> state(hidden);
  model_.transformer().Forward(inputs, caches, last, state.data());
  held_.insert(held_.end(), tokens.begin(), tokens.end());
  logits.resize(static_cast<std::size_t>(model_.config().vocab_size));
  model_.transformer().Head(state.data(), 1, logits.data());
}

model::Generation Session::Generate(const model::GenerateRequest& request,
                                    const model::GenerateOptions& options) {
  CheckGenerateOptions(options);
  model_.CheckTokens(request.prompt);
  // The last token always runs: its logits are needed.
  reused_ = std::min(CommonPrefix(held_, request.prompt), request.prompt.size() - 1);
  held_.resize(reused_);
  cache_.Truncate(static_cast<int>(reused_));
  std::vector<float> logits;
  Run(std::span(request.prompt).subspan(reused_), logits);
  Random random(request.seed, "runtime/sample");
  model::Generation result;
  const int room = model_.config().max_position_embeddings - static_cast<int>(request.prompt.size()) + 1;
  const int limit = std::min(options.max_new_tokens, room);
  while (static_cast<int>(result.tokens.size()) < limit) {
    const SampledToken sampled = SampleToken(logits, options, random);
    result.tokens.push_back(sampled.token);
    result.log_probs.push_back(sampled.log_prob);
    const auto& stops = options.stop_token_ids;
    result.stopped = std::find(stops.begin(), stops.end(), sampled.token) != stops.end() ||
                     (options.on_token && !options.on_token(0, sampled.token));
    if (result.stopped || static_cast<int>(result.tokens.size()) == limit) break;
    Run({&sampled.token, 1}, logits);
  }
  return result;
}

}  // namespace forge::runtime
