// SPDX-License-Identifier: Apache-2.0
#include "runtime/native_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "runtime/batch_generator.h"
#include "runtime/prefix_tree.h"
#include "runtime/sampler.h"

namespace forge::runtime {

using model::GenerateOptions;
using model::GenerateRequest;
using model::Generation;
using model::ScoredSequence;
using model::ScoreRequest;
using model::ScoreVisitor;

namespace {

constexpr std::size_t kTokensPerGroup = 2048;  // LastHidden: tokens whose caches live at the same time
constexpr std::size_t kHeadRows = 64;          // rows of logits held at once: 12 MiB at 49152 tokens
constexpr std::size_t kScoreCacheBudget = 256u
                                          << 20;  // bytes of keys and values of the sequences of one tree
constexpr std::int64_t kSmallModel =
    8'000'000;  // weights; below, requests are cut over threads, not products

}  // namespace

NativeModel::NativeModel(PackedWeights weights) : transformer_(std::move(weights)) {}

NativeModel::NativeModel(const model::ModelConfig& config, const model::ModelWeights& weights,
                         const PackOptions& options, const model::TernaryWeights& ternary)
    : transformer_(PackWeights(config, weights, options, ternary)) {}

void NativeModel::CheckTokens(std::span<const int> tokens) const {
  if (tokens.empty())
    throw Error({.what = "cannot run the model on an empty text",
                 .why = "there is no token to start from",
                 .fix = "give a prompt"});
  for (const int token : tokens)
    if (token < 0 || token >= config().vocab_size)
      throw Error({.what = fmt::format("token {} is not in the model's vocabulary", token),
                   .why = fmt::format("the model knows the ids 0 to {}", config().vocab_size - 1),
                   .fix = "use the tokenizer that belongs to this model"});
  if (tokens.size() > static_cast<std::size_t>(config().max_position_embeddings))
    throw Error({.what = fmt::format("the text of {} tokens is too long for the model", tokens.size()),
                 .why = fmt::format("max_position_embeddings is {}", config().max_position_embeddings),
                 .fix = "shorten the text"});
}

void NativeModel::Shard(std::size_t count, const std::function<void(std::size_t, std::size_t)>& work) const {
  ThreadPool& pool = ThreadPool::Global();
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  if (model::CountParameters(config()) > kSmallModel || count < 2 * threads) return work(0, count);
  const std::size_t pieces = std::min(count, threads * 2);
  pool.Run(pieces, [&](std::size_t i) { work(count * i / pieces, count * (i + 1) / pieces); });
}

std::vector<std::vector<std::vector<float>>> NativeModel::Score(std::span<const ScoreRequest> requests) {
  std::vector<std::vector<std::vector<float>>> results(requests.size());
  std::vector<ScoredSequence> sequences;
  std::vector<std::vector<float>*> places;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CheckTokens(requests[i].prefix);
    results[i].resize(requests[i].continuations.size());
    for (std::size_t c = 0; c < requests[i].continuations.size(); ++c) {
      const std::vector<int>& continuation = requests[i].continuations[c];
      CheckTokens(continuation);
      ScoredSequence& sequence =
          sequences.emplace_back(ScoredSequence{requests[i].prefix, requests[i].prefix.size()});
      sequence.tokens.insert(sequence.tokens.end(), continuation.begin(), continuation.end());
      results[i][c].resize(continuation.size());
      places.push_back(&results[i][c]);
    }
  }
  VisitScores(sequences, [&](std::size_t sequence, std::size_t position, const float*, double log_prob) {
    (*places[sequence])[position - sequences[sequence].prefix] = static_cast<float>(log_prob);
  });
  return results;
}

void NativeModel::VisitScores(std::span<const ScoredSequence> sequences, const ScoreVisitor& visit) const {
  std::vector<const std::vector<int>*> tokens;
  for (const ScoredSequence& sequence : sequences) {
    FORGE_CHECK(sequence.prefix >= 1);
    // The last token predicts nothing, so it takes no position.
    const std::span<const int> all(sequence.tokens);
    CheckTokens(all.first(all.size() > 1 ? all.size() - 1 : all.size()));
    CheckTokens(all.last(1));
    tokens.push_back(&sequence.tokens);
  }
  std::vector<std::size_t> order = OrderByTokens(tokens);
  std::erase_if(order, [&](std::size_t i) { return sequences[i].tokens.size() <= sequences[i].prefix; });
  const auto at = [&](std::size_t place) { return std::span<const int>(sequences[order[place]].tokens); };
  Shard(order.size(), [&](std::size_t first, std::size_t last) {
    while (first < last) {  // groups whose caches fit the budget
      std::size_t end = first, count = 0;
      for (; end < last; ++end) {
        count += at(end).size() - (end == first ? 0 : CommonPrefix(at(end - 1), at(end)));
        if (end > first &&
            count * KeyValueBytesPerToken(config(), transformer_.key_values()) > kScoreCacheBudget)
          break;
      }
      VisitGroup(sequences, std::span(order).subspan(first, end - first), visit);
      first = end;
    }
  });
}

void NativeModel::VisitGroup(std::span<const ScoredSequence> sequences, std::span<const std::size_t> order,
                             const ScoreVisitor& visit) const {
  std::vector<std::span<const int>>
      inputs;  // the last token of a sequence predicts nothing that is asked for
  for (const std::size_t index : order)
    inputs.push_back(std::span(sequences[index].tokens).first(sequences[index].tokens.size() - 1));
  const PrefixTree tree = BuildPrefixTree(inputs);
  std::vector<TokenInput> tokens;
  std::vector<std::shared_ptr<KeyValueCache>> owned;
  std::vector<KeyValueCache*> caches;
  std::vector<int> first_token;  // of each node
  for (const PrefixTree::Node& node : tree.nodes) {
    const auto parent = node.parent < 0 ? nullptr : owned[static_cast<std::size_t>(node.parent)];
    owned.push_back(std::make_shared<KeyValueCache>(
        transformer_.MakeCache(static_cast<int>(node.tokens.size()), parent)));
    first_token.push_back(static_cast<int>(tokens.size()));
    for (std::size_t i = 0; i < node.tokens.size(); ++i)
      tokens.push_back(
          {node.tokens[i], static_cast<int>(caches.size()), node.position + static_cast<int>(i)});
    caches.push_back(owned.back().get());
  }
  struct Asked {
    std::size_t sequence, position;  // of the token whose log-probability is asked for
  };
  std::vector<std::vector<Asked>> asked(tokens.size());  // by the token that comes before
  for (std::size_t i = 0; i < order.size(); ++i) {
    int node = tree.ends[i];
    for (std::size_t position = inputs[i].size(); position-- > sequences[order[i]].prefix - 1;) {
      while (tree.nodes[static_cast<std::size_t>(node)].position > static_cast<int>(position))
        node = tree.nodes[static_cast<std::size_t>(node)].parent;
      const int token = first_token[static_cast<std::size_t>(node)] + static_cast<int>(position) -
                        tree.nodes[static_cast<std::size_t>(node)].position;
      asked[static_cast<std::size_t>(token)].push_back({order[i], position + 1});
    }
  }
  std::vector<int> wanted;
  for (std::size_t t = 0; t < tokens.size(); ++t)
    if (!asked[t].empty()) wanted.push_back(static_cast<int>(t));
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  const auto vocabulary = static_cast<std::size_t>(config().vocab_size);
  std::vector<float> states(wanted.size() * hidden), logits;
  transformer_.Forward(tokens, caches, wanted, states.data());
  for (std::size_t start = 0; start < wanted.size(); start += kHeadRows) {
    const std::size_t count = std::min(kHeadRows, wanted.size() - start);
    logits.resize(count * vocabulary);
    transformer_.Head(states.data() + start * hidden, count, logits.data());
    for (std::size_t r = 0; r < count; ++r) {
      const float* row = logits.data() + r * vocabulary;
      const double total = Kernels().log_sum_exp(row, vocabulary);
      for (const Asked& place : asked[static_cast<std::size_t>(wanted[start + r])]) {
        const int token = sequences[place.sequence].tokens[place.position];
        visit(place.sequence, place.position, row, static_cast<double>(row[token]) - total);
      }
    }
  }
}

std::vector<Generation> NativeModel::Generate(std::span<const GenerateRequest> requests,
                                              const GenerateOptions& options) {
  CheckGenerateOptions(options);
  std::vector<const std::vector<int>*> prompts;
  for (const GenerateRequest& request : requests) {
    CheckTokens(request.prompt);
    prompts.push_back(&request.prompt);
  }
  const std::vector<std::size_t> order = OrderByTokens(prompts);
  std::vector<Generation> results(requests.size());
  std::mutex mutex;
  GenerateOptions serial = options;
  if (options.on_token)
    serial.on_token = [&](std::size_t index, int token) {
      const std::lock_guard lock(mutex);
      return options.on_token(index, token);
    };
  Shard(requests.size(), [&](std::size_t first, std::size_t last) {
    BatchGenerator(transformer_, requests, std::span(order).subspan(first, last - first), serial)
        .Run(results);
  });
  return results;
}

std::vector<float> NativeModel::Logits(std::span<const int> tokens) {
  CheckTokens(tokens);
  KeyValueCache cache = transformer_.MakeCache(static_cast<int>(tokens.size()));
  KeyValueCache* caches[] = {&cache};
  std::vector<TokenInput> inputs;
  std::vector<int> rows;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    inputs.push_back({tokens[i], 0, static_cast<int>(i)});
    rows.push_back(static_cast<int>(i));
  }
  std::vector<float> states(tokens.size() * static_cast<std::size_t>(config().hidden_size));
  transformer_.Forward(inputs, caches, rows, states.data());
  return HeadLogits(states);
}

std::vector<float> NativeModel::HeadLogits(std::span<const float> hidden_states) {
  const std::size_t rows = hidden_states.size() / static_cast<std::size_t>(config().hidden_size);
  std::vector<float> logits(rows * static_cast<std::size_t>(config().vocab_size));
  transformer_.Head(hidden_states.data(), rows, logits.data());
  return logits;
}

std::vector<float> NativeModel::LastHidden(std::span<const std::vector<int>> sequences) {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  for (const std::vector<int>& sequence : sequences) CheckTokens(sequence);
  std::vector<float> states(sequences.size() * hidden);
  Shard(sequences.size(), [&](std::size_t first, std::size_t last) {
    while (first < last) {
      std::vector<std::unique_ptr<KeyValueCache>> owned;
      std::vector<KeyValueCache*> caches;
      std::vector<TokenInput> tokens;
      std::vector<int> rows;
      std::size_t end = first;
      for (; end < last && (end == first || tokens.size() < kTokensPerGroup); ++end) {
        owned.push_back(
            std::make_unique<KeyValueCache>(transformer_.MakeCache(static_cast<int>(sequences[end].size()))));
        caches.push_back(owned.back().get());
        for (std::size_t i = 0; i < sequences[end].size(); ++i)
          tokens.push_back({sequences[end][i], static_cast<int>(caches.size()) - 1, static_cast<int>(i)});
        rows.push_back(static_cast<int>(tokens.size()) - 1);
      }
      transformer_.Forward(tokens, caches, rows, states.data() + first * hidden);
      first = end;
    }
  });
  return states;
}

}  // namespace forge::runtime
