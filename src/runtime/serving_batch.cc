// SPDX-License-Identifier: Apache-2.0
#include "runtime/serving_batch.h"

#include <algorithm>
#include <new>
#include <optional>

#include "base/check.h"
#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"
#include "runtime/sampler.h"

namespace forge::runtime {

/// All of a prompt but its last token, whose state is each sequence's own.
struct ServingBatch::Beginning {
  std::shared_ptr<const std::vector<int>> prompt;
  std::shared_ptr<KeyValueCache> cache;
  bool filled() const { return cache->length() == cache->capacity(); }
};

struct ServingBatch::Sequence {
  Id id;
  ServingRequest request;
  std::shared_ptr<Beginning> beginning;  // or none
  std::unique_ptr<KeyValueCache> cache;
  Random random;
  int limit;                         // tokens that it may get
  int count = 0;                     // tokens that it got
  std::optional<int> last;           // the one that is not in the cache yet
  std::optional<SequenceEnd> ended;  // in this step

  std::size_t length() const { return static_cast<std::size_t>(cache->length()); }
  bool reads_prompt() const { return length() < request.prompt->size(); }
};

/// A row of logits that a step asks for.
struct ServingBatch::Row {
  Sequence* sequence;
  std::size_t position;  // of the token that the logits are for
  int token;             // index in the step of the token before it
};

namespace {

std::vector<TokenProbability> MostProbable(std::span<const float> logits, int count, double log_total) {
  std::vector<TokenProbability> top;  // logits first
  const auto wanted = std::min(static_cast<std::size_t>(count), logits.size());
  if (wanted == 0) return top;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (top.size() == wanted && !(logits[id] > top.back().log_prob)) continue;
    const auto place = std::find_if(
        top.begin(), top.end(), [&](const TokenProbability& other) { return logits[id] > other.log_prob; });
    top.insert(place, {static_cast<int>(id), logits[id]});
    if (top.size() > wanted) top.pop_back();
  }
  for (TokenProbability& entry : top)
    entry.log_prob = static_cast<float>(static_cast<double>(entry.log_prob) - log_total);
  return top;
}

}  // namespace

ServingBatch::ServingBatch(const Transformer& transformer, const ServingLimits& limits)
    : transformer_(transformer), limits_(limits) {
  FORGE_CHECK(limits.prompt_tokens_per_step > 0);
}

ServingBatch::~ServingBatch() = default;

int ServingBatch::LimitOf(const ServingRequest& request) const {
  // The last token is not run, so it needs no position.
  const int room =
      transformer_.config().max_position_embeddings - static_cast<int>(request.prompt->size()) + 1;
  return std::min(request.options.max_new_tokens, room);
}

std::size_t ServingBatch::BytesFor(const ServingRequest& request) const {
  constexpr std::size_t kPadding = 16;  // a panel of keys
  const std::size_t tokens = request.prompt->size() + static_cast<std::size_t>(LimitOf(request));
  return (tokens + kPadding) * KeyValueBytesPerToken(transformer_.config(), transformer_.key_values());
}

bool ServingBatch::HasRoomFor(const ServingRequest& request) const {
  return sequences_.size() < limits_.max_sequences &&
         key_value_bytes_ + BytesFor(request) <= limits_.key_value_bytes;
}

void ServingBatch::Hold(Sequence& sequence) {
  const std::vector<int>& prompt = *sequence.request.prompt;
  std::weak_ptr<Beginning>& known = beginnings_[&prompt];
  sequence.beginning = known.lock();
  if (sequence.beginning) return;
  sequence.beginning = std::make_shared<Beginning>(Beginning{
      sequence.request.prompt,
      std::make_shared<KeyValueCache>(transformer_.MakeCache(static_cast<int>(prompt.size()) - 1))});
  key_value_bytes_ += sequence.beginning->cache->bytes();
  known = sequence.beginning;
}

ServingBatch::Id ServingBatch::Join(ServingRequest request) {
  FORGE_CHECK(empty() || HasRoomFor(request));
  FORGE_CHECK(!request.prompt->empty());
  const Random random(request.seed, "runtime/sample");
  const int limit = LimitOf(request);
  FORGE_CHECK(limit >= 0);
  const bool shares = request.shares_prompt && request.prompt->size() > 1 && !request.on_prompt;
  Sequence sequence{.id = next_id_++,
                    .request = std::move(request),
                    .beginning = {},
                    .cache = {},
                    .random = random,
                    .limit = limit,
                    .last = {},
                    .ended = {}};
  try {
    if (shares) Hold(sequence);
    const std::shared_ptr<KeyValueCache> below = sequence.beginning ? sequence.beginning->cache : nullptr;
    const int prefix = below ? below->capacity() : 0;
    sequence.cache = std::make_unique<KeyValueCache>(
        transformer_.MakeCache(static_cast<int>(sequence.request.prompt->size()) + limit - prefix, below));
    key_value_bytes_ += sequence.cache->bytes();
  } catch (const std::bad_alloc&) {
    LetGo(sequence);
    throw;
  }
  sequences_.push_back(std::move(sequence));
  return sequences_.back().id;
}

void ServingBatch::LetGo(Sequence& sequence) {
  if (sequence.cache) key_value_bytes_ -= sequence.cache->bytes();
  sequence.cache.reset();
  if (sequence.beginning.use_count() == 1) {
    key_value_bytes_ -= sequence.beginning->cache->bytes();
    beginnings_.erase(sequence.beginning->prompt.get());
  }
  sequence.beginning.reset();
}

void ServingBatch::Leave(Id id) {
  const auto found = std::find_if(sequences_.begin(), sequences_.end(),
                                  [&](const Sequence& sequence) { return sequence.id == id; });
  if (found == sequences_.end()) return;
  LetGo(*found);
  sequences_.erase(found);
}

void ServingBatch::AddPiece(Sequence& sequence, std::size_t count, ForwardStep& step,
                            std::vector<Row>& rows) const {
  const std::vector<int>& prompt = *sequence.request.prompt;
  const std::size_t start = sequence.length(), end = start + count;
  for (std::size_t position = start + 1; position <= end; ++position)
    if (position == prompt.size() ? sequence.limit > 0 : static_cast<bool>(sequence.request.on_prompt))
      rows.push_back({&sequence, position, static_cast<int>(step.tokens.size() + position - start) - 1});
  step.Add(std::span(prompt).subspan(start, count), sequence.cache.get(), static_cast<int>(start));
}

void ServingBatch::AddPrompts(ForwardStep& step, std::vector<Row>& rows) {
  struct Reader {  // a prompt, or the beginning of several
    KeyValueCache* cache;
    std::span<const int> tokens;  // that are left
    Sequence* sequence;           // none: a beginning
    std::size_t share = 0;
  };
  std::vector<Reader> readers;
  for (Sequence& sequence : sequences_) {
    const std::span<const int> prompt(*sequence.request.prompt);
    if (!sequence.beginning || sequence.beginning->filled()) {
      if (sequence.reads_prompt())
        readers.push_back({sequence.cache.get(), prompt.subspan(sequence.length()), &sequence});
      continue;
    }
    KeyValueCache* const cache = sequence.beginning->cache.get();
    if (std::none_of(readers.begin(), readers.end(), [&](const Reader& r) { return r.cache == cache; }))
      readers.push_back({cache,
                         prompt.first(prompt.size() - 1).subspan(static_cast<std::size_t>(cache->length())),
                         nullptr});
  }
  // Everybody gets an even share; what short prompts leave over goes to the first to come.
  std::size_t left = limits_.prompt_tokens_per_step;
  const std::size_t even = std::max<std::size_t>(1, readers.empty() ? 1 : left / readers.size());
  for (const std::size_t most : {even, left})
    for (Reader& reader : readers) {
      const std::size_t more = std::min({most, left, reader.tokens.size() - reader.share});
      reader.share += more;
      left -= more;
    }
  for (const Reader& reader : readers) {
    if (reader.share == 0) continue;
    prompt_tokens_ += reader.share;
    if (reader.sequence != nullptr)
      AddPiece(*reader.sequence, reader.share, step, rows);
    else
      step.Add(reader.tokens.first(reader.share), reader.cache, reader.cache->length());
  }
}

void ServingBatch::Step() {
  ForwardStep step;
  std::vector<Row> rows;
  for (Sequence& sequence : sequences_) {
    if (!sequence.last) continue;
    rows.push_back({&sequence, sequence.length() + 1, static_cast<int>(step.tokens.size())});
    step.Add({&*sequence.last, 1}, sequence.cache.get(), sequence.cache->length());
  }
  AddPrompts(step, rows);
  std::vector<int> wanted;
  for (const Row& row : rows) wanted.push_back(row.token);
  if (WantBestOnly(rows)) {
    std::vector<std::span<const int>> banned;
    for (const Row& row : rows) banned.push_back(row.sequence->request.options.banned_token_ids);
    const std::vector<int> tokens = BestNextTokens(transformer_, step, wanted, banned);
    for (std::size_t i = 0; i < rows.size(); ++i) Take(*rows[i].sequence, {{tokens[i], 0}, {}});
  } else {
    VisitLogits(transformer_, step, wanted, [&](std::size_t first, std::size_t count, const float* logits) {
      Report(std::span(rows).subspan(first, count), logits);
    });
  }
  for (auto sequence = sequences_.begin(); sequence != sequences_.end();) {
    if (sequence->limit == 0 && !sequence->reads_prompt()) sequence->ended = SequenceEnd::kLimit;
    if (!sequence->ended) {
      ++sequence;
      continue;
    }
    LetGo(*sequence);
    const SequenceEnd end = *sequence->ended;
    const auto on_end = std::move(sequence->request.on_end);
    sequence = sequences_.erase(sequence);
    if (on_end) on_end(end);
  }
}

bool ServingBatch::WantBestOnly(std::span<const Row> rows) const {
  return !rows.empty() && transformer_.CanFindBestTokens(rows.size()) &&
         std::all_of(rows.begin(), rows.end(), [](const Row& row) {
           const ServingRequest& request = row.sequence->request;
           return row.position >= request.prompt->size() && request.top == 0 &&
                  AsksForBestOnly(request.options);
         });
}

void ServingBatch::Report(std::span<const Row> rows, const float* logits) {
  const auto vocabulary = static_cast<std::size_t>(transformer_.config().vocab_size);
  std::vector<ScoredToken> tokens(rows.size());
  ParallelFor(rows.size(), RowsPerTask(vocabulary), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::span<const float> row(logits + i * vocabulary, vocabulary);
      Sequence& sequence = *rows[i].sequence;
      const std::vector<int>& prompt = *sequence.request.prompt;
      const bool is_new = rows[i].position >= prompt.size();
      const bool scores = !is_new || sequence.request.top > 0;
      const double log_total = scores ? Kernels().log_sum_exp(row.data(), vocabulary) : 0;
      if (is_new) {
        const SampledToken sampled = SampleToken(row, sequence.request.options, sequence.random);
        tokens[i] = {{sampled.token, sampled.log_prob}, {}};
      } else {
        const int token = prompt[rows[i].position];
        const double logit = static_cast<double>(row[static_cast<std::size_t>(token)]);
        tokens[i] = {{token, static_cast<float>(logit - log_total)}, {}};
      }
      tokens[i].top = MostProbable(row, sequence.request.top, log_total);
    }
  });
  for (std::size_t i = 0; i < rows.size();) {
    Sequence& sequence = *rows[i].sequence;
    if (rows[i].position >= sequence.request.prompt->size()) {
      Take(sequence, std::move(tokens[i++]));
      continue;
    }
    std::size_t end = i;  // the prompt tokens of one sequence are neighbours
    while (end < rows.size() && rows[end].sequence == &sequence &&
           rows[end].position < sequence.request.prompt->size())
      ++end;
    sequence.request.on_prompt(std::span(tokens).subspan(i, end - i));
    i = end;
  }
}

void ServingBatch::Take(Sequence& sequence, ScoredToken token) {
  ++sequence.count;
  sequence.last = token.token;
  const std::vector<int>& stops = sequence.request.options.stop_token_ids;
  const bool goes_on = !sequence.request.on_token || sequence.request.on_token(token);
  if (std::find(stops.begin(), stops.end(), token.token) != stops.end())
    sequence.ended = SequenceEnd::kStopToken;
  else if (!goes_on)
    sequence.ended = SequenceEnd::kStopped;
  else if (sequence.count >= sequence.limit)
    sequence.ended = SequenceEnd::kLimit;
}

}  // namespace forge::runtime
