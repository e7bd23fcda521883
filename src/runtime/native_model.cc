// SPDX-License-Identifier: Apache-2.0
#include "runtime/native_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <mutex>

#include "base/error.h"
#include "base/thread_pool.h"
#include "runtime/sampler.h"

namespace forge::runtime {

using model::GenerateOptions;
using model::GenerateRequest;
using model::Generation;
using model::ScoreRequest;

namespace {

constexpr std::size_t kTokensPerGroup = 2048;  // scoring: tokens whose caches live at the same time
constexpr std::size_t kHeadRows = 64;          // rows of logits held at once: 12 MiB at 49152 tokens
constexpr std::size_t kCacheBudget = 512u
                                     << 20;  // generation: bytes of key-value cache over all active sequences
constexpr std::size_t kMaxActive = 256;
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
  for (const ScoreRequest& request : requests) {
    for (const std::vector<int>& continuation : request.continuations) {
      std::vector<int> all = request.prefix;
      all.insert(all.end(), continuation.begin(), continuation.end());
      CheckTokens(request.prefix);
      CheckTokens(continuation);
      CheckTokens(all);
    }
  }
  std::vector<std::vector<std::vector<float>>> results(requests.size());
  Shard(requests.size(), [&](std::size_t first, std::size_t last) {
    while (first < last) {  // groups of bounded size
      std::size_t end = first, tokens = 0;
      while (end < last && (end == first || tokens < kTokensPerGroup)) {
        tokens += requests[end].prefix.size();
        for (const std::vector<int>& continuation : requests[end].continuations)
          tokens += continuation.size();
        ++end;
      }
      ScoreShard(requests.subspan(first, end - first), results.data() + first);
      first = end;
    }
  });
  return results;
}

void NativeModel::ScoreShard(std::span<const ScoreRequest> requests,
                             std::vector<std::vector<float>>* results) const {
  struct Wanted {
    std::vector<float>* log_probs;
    std::size_t index;
    int token;
  };
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  const auto vocabulary = static_cast<std::size_t>(config().vocab_size);
  const auto finish = [&](const std::vector<TokenInput>& tokens, std::vector<KeyValueCache*>& caches,
                          const std::vector<int>& rows, const std::vector<std::vector<Wanted>>& targets) {
    std::vector<float> states(rows.size() * hidden), logits;
    transformer_.Forward(tokens, caches, rows, states.data());
    for (std::size_t start = 0; start < rows.size(); start += kHeadRows) {
      const std::size_t count = std::min(kHeadRows, rows.size() - start);
      logits.resize(count * vocabulary);
      transformer_.Head(states.data() + start * hidden, count, logits.data());
      for (std::size_t r = 0; r < count; ++r) {
        const float* row = logits.data() + r * vocabulary;
        const double total = Kernels().log_sum_exp(row, vocabulary);
        for (const Wanted& wanted : targets[start + r])
          (*wanted.log_probs)[wanted.index] =
              static_cast<float>(static_cast<double>(row[wanted.token]) - total);
      }
    }
  };
  std::vector<std::shared_ptr<KeyValueCache>> prefixes;
  std::vector<TokenInput> tokens;
  std::vector<KeyValueCache*> caches;
  std::vector<int> rows;
  std::vector<std::vector<Wanted>> targets;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const ScoreRequest& request = requests[i];
    prefixes.push_back(std::make_shared<KeyValueCache>(config(), static_cast<int>(request.prefix.size())));
    caches.push_back(prefixes.back().get());
    for (std::size_t p = 0; p < request.prefix.size(); ++p)
      tokens.push_back({request.prefix[p], static_cast<int>(i), static_cast<int>(p)});
    rows.push_back(static_cast<int>(tokens.size()) - 1);
    std::vector<Wanted>& first = targets.emplace_back();
    results[i].resize(request.continuations.size());
    for (std::size_t c = 0; c < request.continuations.size(); ++c) {
      results[i][c].resize(request.continuations[c].size());
      first.push_back({&results[i][c], 0, request.continuations[c][0]});
    }
  }
  finish(tokens, caches, rows, targets);

  std::vector<std::unique_ptr<KeyValueCache>> owned;
  tokens.clear();
  caches.clear();
  rows.clear();
  targets.clear();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    for (std::size_t c = 0; c < requests[i].continuations.size(); ++c) {
      const std::vector<int>& continuation = requests[i].continuations[c];
      if (continuation.size() < 2) continue;
      owned.push_back(
          std::make_unique<KeyValueCache>(config(), static_cast<int>(continuation.size()) - 1, prefixes[i]));
      caches.push_back(owned.back().get());
      for (std::size_t t = 0; t + 1 < continuation.size(); ++t) {
        rows.push_back(static_cast<int>(tokens.size()));
        targets.push_back({{&results[i][c], t + 1, continuation[t + 1]}});
        tokens.push_back({continuation[t], static_cast<int>(caches.size()) - 1,
                          static_cast<int>(requests[i].prefix.size() + t)});
      }
    }
  }
  if (!tokens.empty()) finish(tokens, caches, rows, targets);
}

std::vector<Generation> NativeModel::Generate(std::span<const GenerateRequest> requests,
                                              const GenerateOptions& options) {
  CheckGenerateOptions(options);
  for (const GenerateRequest& request : requests) CheckTokens(request.prompt);
  std::vector<Generation> results(requests.size());
  std::mutex mutex;
  GenerateOptions serial = options;
  if (options.on_token)
    serial.on_token = [&](std::size_t index, int token) {
      const std::lock_guard lock(mutex);
      return options.on_token(index, token);
    };
  Shard(requests.size(), [&](std::size_t first, std::size_t last) {
    GenerateShard(requests.subspan(first, last - first), first, serial, results.data() + first);
  });
  return results;
}

void NativeModel::GenerateShard(std::span<const GenerateRequest> requests, std::size_t first_index,
                                const GenerateOptions& options, Generation* results) const {
  struct Active {
    std::size_t index;
    std::unique_ptr<KeyValueCache> cache;
    std::vector<int> pending;  // tokens not in the cache yet
    Random random;
    int limit;
  };
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  const auto vocabulary = static_cast<std::size_t>(config().vocab_size);
  std::deque<Active> active;
  std::size_t next = 0, cache_bytes = 0;
  std::vector<float> states, logits;
  const auto step = [&](Active& sequence, const float* row) {  // returns whether the sequence goes on
    Generation& result = results[sequence.index];
    const SampledToken sampled = SampleToken({row, vocabulary}, options, sequence.random);
    result.tokens.push_back(sampled.token);
    result.log_probs.push_back(sampled.log_prob);
    sequence.pending = {sampled.token};
    const auto& stops = options.stop_token_ids;
    result.stopped = std::find(stops.begin(), stops.end(), sampled.token) != stops.end();
    if (options.on_token && !options.on_token(first_index + sequence.index, sampled.token))
      result.stopped = true;
    return !result.stopped && static_cast<int>(result.tokens.size()) < sequence.limit;
  };
  while (next < requests.size() || !active.empty()) {
    while (next < requests.size() && active.size() < kMaxActive &&
           (active.empty() || cache_bytes < kCacheBudget)) {
      const GenerateRequest& request = requests[next];
      const int room = config().max_position_embeddings - static_cast<int>(request.prompt.size());
      const int limit = std::min(options.max_new_tokens, room + 1);
      if (limit > 0) {
        active.push_back(
            {next, std::make_unique<KeyValueCache>(config(), static_cast<int>(request.prompt.size()) + limit),
             request.prompt, Random(request.seed, "runtime/sample"), limit});
        cache_bytes += active.back().cache->bytes();
      }
      ++next;
    }
    if (active.empty()) break;
    std::vector<TokenInput> tokens;
    std::vector<KeyValueCache*> caches;
    std::vector<int> rows;
    for (const Active& sequence : active) {
      int position = sequence.cache->length();
      for (const int token : sequence.pending)
        tokens.push_back({token, static_cast<int>(caches.size()), position++});
      caches.push_back(sequence.cache.get());
      rows.push_back(static_cast<int>(tokens.size()) - 1);
    }
    states.resize(rows.size() * hidden);
    transformer_.Forward(tokens, caches, rows, states.data());
    std::deque<Active> kept;
    for (std::size_t start = 0; start < rows.size(); start += kHeadRows) {
      const std::size_t count = std::min(kHeadRows, rows.size() - start);
      logits.resize(count * vocabulary);
      transformer_.Head(states.data() + start * hidden, count, logits.data());
      for (std::size_t r = 0; r < count; ++r) {
        Active& sequence = active[start + r];
        if (step(sequence, logits.data() + r * vocabulary))
          kept.push_back(std::move(sequence));
        else
          cache_bytes -= sequence.cache->bytes();
      }
    }
    active = std::move(kept);
  }
}

std::vector<float> NativeModel::Logits(std::span<const int> tokens) {
  CheckTokens(tokens);
  KeyValueCache cache(config(), static_cast<int>(tokens.size()));
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
        owned.push_back(std::make_unique<KeyValueCache>(config(), static_cast<int>(sequences[end].size())));
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
