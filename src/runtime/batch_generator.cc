// SPDX-License-Identifier: Apache-2.0
#include "runtime/batch_generator.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kCacheBudget = 512u << 20;  // bytes of keys and values of all active sequences
constexpr std::size_t kMaxActive = 256;
constexpr std::size_t kShortestBeginning = 16;  // tokens; a shorter one costs attention more than it saves

}  // namespace

BatchGenerator::BatchGenerator(const Transformer& transformer,
                               std::span<const model::GenerateRequest> requests,
                               std::span<const std::size_t> order, const model::GenerateOptions& options)
    : transformer_(transformer), requests_(requests), order_(order), options_(options) {
  FindBeginnings();
}

void BatchGenerator::FindBeginnings() {
  beginning_of_.assign(order_.size(), -1);
  // The state after a prompt is asked for, so its last token is always its own.
  std::vector<std::span<const int>> sequences;
  std::vector<std::size_t> places;
  for (std::size_t place = 0; place < order_.size(); ++place) {
    const std::vector<int>& prompt = requests_[order_[place]].prompt;
    if (prompt.size() <= kShortestBeginning) continue;
    sequences.push_back(std::span(prompt).first(prompt.size() - 1));
    places.push_back(place);
  }
  const PrefixTree tree = BuildPrefixTree(sequences);
  std::vector<std::size_t> uses(tree.nodes.size());
  for (const int end : tree.ends) ++uses[static_cast<std::size_t>(end)];
  for (std::size_t node = tree.nodes.size(); node-- > 0;)
    if (const int parent = tree.nodes[node].parent; parent >= 0)
      uses[static_cast<std::size_t>(parent)] += uses[node];
  std::vector<int> beginning_of_node;
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
    const PrefixTree::Node& node = tree.nodes[i];
    const int parent = node.parent < 0 ? -1 : beginning_of_node[static_cast<std::size_t>(node.parent)];
    const std::size_t start = parent < 0 ? 0 : beginnings_[static_cast<std::size_t>(parent)].end;
    const std::size_t end = static_cast<std::size_t>(node.position) + node.tokens.size();
    if (uses[i] < 2 || end - start < kShortestBeginning) {
      beginning_of_node.push_back(parent);
      continue;
    }
    beginning_of_node.push_back(static_cast<int>(beginnings_.size()));
    beginnings_.push_back({parent, start, end, 0, nullptr});
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const int beginning = beginning_of_node[static_cast<std::size_t>(tree.ends[i])];
    beginning_of_[places[i]] = beginning;
    for (int b = beginning; b >= 0; b = beginnings_[static_cast<std::size_t>(b)].parent)
      ++beginnings_[static_cast<std::size_t>(b)].uses;
  }
}

void BatchGenerator::Hold(int index, std::span<const int> prompt, ForwardStep& step) {
  Beginning& beginning = beginnings_[static_cast<std::size_t>(index)];
  if (beginning.cache != nullptr) return;
  if (beginning.parent >= 0) Hold(beginning.parent, prompt, step);
  const std::shared_ptr<KeyValueCache> below =
      beginning.parent < 0 ? nullptr : beginnings_[static_cast<std::size_t>(beginning.parent)].cache;
  beginning.cache = std::make_shared<KeyValueCache>(
      transformer_.MakeCache(static_cast<int>(beginning.end - beginning.start), below));
  cache_bytes_ += beginning.cache->bytes();
  step.Add(prompt.subspan(beginning.start, beginning.end - beginning.start), beginning.cache.get(),
           static_cast<int>(beginning.start));
}

void BatchGenerator::Admit(ForwardStep& step) {
  while (next_ < order_.size() && active_.size() < kMaxActive &&
         (active_.empty() || cache_bytes_ < kCacheBudget)) {
    const std::size_t index = order_[next_];
    const int beginning = beginning_of_[next_++];
    const model::GenerateRequest& request = requests_[index];
    const int room = transformer_.config().max_position_embeddings - static_cast<int>(request.prompt.size());
    Active sequence{.index = index,
                    .beginning = beginning,
                    .cache = nullptr,
                    .pending = {},
                    .random = Random(request.seed, "runtime/sample"),
                    .limit = std::min(options_.max_new_tokens, room + 1)};
    if (sequence.limit <= 0) {
      LetGo(sequence);
      continue;
    }
    std::shared_ptr<const KeyValueCache> below;
    std::size_t start = 0;
    if (beginning >= 0) {
      Hold(beginning, request.prompt, step);
      below = beginnings_[static_cast<std::size_t>(beginning)].cache;
      start = beginnings_[static_cast<std::size_t>(beginning)].end;
    }
    sequence.pending.assign(request.prompt.begin() + static_cast<std::ptrdiff_t>(start),
                            request.prompt.end());
    sequence.cache = std::make_unique<KeyValueCache>(
        transformer_.MakeCache(static_cast<int>(sequence.pending.size()) + sequence.limit, std::move(below)));
    cache_bytes_ += sequence.cache->bytes();
    active_.push_back(std::move(sequence));
  }
}

void BatchGenerator::LetGo(Active& sequence) {
  if (sequence.cache != nullptr) cache_bytes_ -= sequence.cache->bytes();
  sequence.cache.reset();
  for (int b = sequence.beginning; b >= 0; b = beginnings_[static_cast<std::size_t>(b)].parent) {
    Beginning& beginning = beginnings_[static_cast<std::size_t>(b)];
    if (--beginning.uses > 0 || beginning.cache == nullptr) continue;
    cache_bytes_ -= beginning.cache->bytes();
    beginning.cache.reset();
  }
}

bool BatchGenerator::Take(Active& sequence, const SampledToken& sampled, model::Generation& result) {
  result.tokens.push_back(sampled.token);
  if (options_.log_probs) result.log_probs.push_back(sampled.log_prob);
  sequence.pending = {sampled.token};
  const std::vector<int>& stops = options_.stop_token_ids;
  result.stopped = std::find(stops.begin(), stops.end(), sampled.token) != stops.end();
  if (options_.on_token && !options_.on_token(sequence.index, sampled.token)) result.stopped = true;
  return !result.stopped && static_cast<int>(result.tokens.size()) < sequence.limit;
}

void BatchGenerator::Run(std::span<model::Generation> results) {
  const auto vocabulary = static_cast<std::size_t>(transformer_.config().vocab_size);
  while (true) {
    ForwardStep step;
    Admit(step);
    if (active_.empty()) return;
    std::vector<int> last_tokens;
    for (const Active& sequence : active_) {
      step.Add(sequence.pending, sequence.cache.get(), sequence.cache->length());
      last_tokens.push_back(static_cast<int>(step.tokens.size()) - 1);
    }
    std::deque<Active> kept;
    const auto take = [&](Active& sequence, const SampledToken& sampled) {
      if (Take(sequence, sampled, results[sequence.index]))
        kept.push_back(std::move(sequence));
      else
        LetGo(sequence);
    };
    if (AsksForBestOnly(options_) && transformer_.CanFindBestTokens(active_.size())) {
      const std::vector<std::span<const int>> banned(active_.size(), options_.banned_token_ids);
      const std::vector<int> tokens = BestNextTokens(transformer_, step, last_tokens, banned);
      for (std::size_t i = 0; i < tokens.size(); ++i) take(active_[i], {tokens[i], 0});
    } else {
      VisitLogits(transformer_, step, last_tokens,
                  [&](std::size_t first, std::size_t count, const float* logits) {
                    std::vector<SampledToken> sampled(count);
                    ParallelFor(count, RowsPerTask(vocabulary), [&](std::size_t begin, std::size_t end) {
                      for (std::size_t row = begin; row < end; ++row)
                        sampled[row] = SampleToken({logits + row * vocabulary, vocabulary}, options_,
                                                   active_[first + row].random);
                    });
                    for (std::size_t row = 0; row < count; ++row) take(active_[first + row], sampled[row]);
                  });
    }
    active_ = std::move(kept);
  }
}

}  // namespace forge::runtime
