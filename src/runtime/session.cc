// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <algorithm>

#include "runtime/forward_step.h"
#include "runtime/prefix_tree.h"

namespace forge::runtime {

Session::Session(const NativeModel& model) : model_(model), cache_(model.transformer().MakeCache(0)) {}

SampledToken Session::Run(std::span<const int> tokens, const model::GenerateOptions& options,
                          Random& random) {
  const std::size_t needed = held_.size() + tokens.size();
  if (needed > static_cast<std::size_t>(cache_.capacity()))  // doubled, so that growing stays cheap
    cache_.Reserve(
        static_cast<int>(std::min(std::max<std::size_t>(2 * needed, 256),
                                  static_cast<std::size_t>(model_.config().max_position_embeddings))));
  const Transformer& transformer = model_.transformer();
  ForwardStep step;
  step.Add(tokens, &cache_, static_cast<int>(held_.size()));
  const int last = static_cast<int>(tokens.size()) - 1;
  SampledToken sampled{};
  if (AsksForBestOnly(options) && transformer.CanFindBestTokens(1)) {
    const std::span<const int> banned(options.banned_token_ids);
    sampled.token = BestNextTokens(transformer, step, {&last, 1}, {&banned, 1}).front();
  } else {
    std::vector<float> state(static_cast<std::size_t>(model_.config().hidden_size));
    transformer.Forward(step.tokens, step.caches, {&last, 1}, state.data());
    logits_.resize(static_cast<std::size_t>(model_.config().vocab_size));
    transformer.Head(state.data(), 1, logits_.data());
    sampled = SampleToken(logits_, options, random);
  }
  held_.insert(held_.end(), tokens.begin(), tokens.end());
  return sampled;
}

model::Generation Session::Generate(const model::GenerateRequest& request,
                                    const model::GenerateOptions& options) {
  CheckGenerateOptions(options);
  model_.CheckTokens(request.prompt);
  // The last token always runs: its logits are needed.
  reused_ = std::min(CommonPrefix(held_, request.prompt), request.prompt.size() - 1);
  held_.resize(reused_);
  cache_.Truncate(static_cast<int>(reused_));
  Random random(request.seed, "runtime/sample");
  SampledToken sampled = Run(std::span(request.prompt).subspan(reused_), options, random);
  model::Generation result;
  const int room = model_.config().max_position_embeddings - static_cast<int>(request.prompt.size()) + 1;
  const int limit = std::min(options.max_new_tokens, room);
  while (static_cast<int>(result.tokens.size()) < limit) {
    result.tokens.push_back(sampled.token);
    if (options.log_probs) result.log_probs.push_back(sampled.log_prob);
    const auto& stops = options.stop_token_ids;
    result.stopped = std::find(stops.begin(), stops.end(), sampled.token) != stops.end() ||
                     (options.on_token && !options.on_token(0, sampled.token));
    if (result.stopped || static_cast<int>(result.tokens.size()) == limit) break;
    const int token = sampled.token;
    sampled = Run({&token, 1}, options, random);
  }
  return result;
}

}  // namespace forge::runtime
