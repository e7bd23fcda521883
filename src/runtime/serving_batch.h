// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/philox.h"
#include "model/language_model.h"
#include "runtime/forward_step.h"

namespace forge::runtime {

struct TokenProbability {
  int token;
  float log_prob;  // natural, under softmax(logits): before temperature, top-k and top-p; 0 of a new token
                   // without options.log_probs
};
struct ScoredToken : TokenProbability {
  std::vector<TokenProbability> top;  // the most probable tokens of its place, the lowest id first of equals
};

/// Why a sequence ended. Not told about one that left.
enum class SequenceEnd {
  kStopToken,
  kLimit,    // max_new_tokens, or the end of the context
  kStopped,  // on_token said so
};

/// One sequence that is to be generated, and who hears of it. The functions are called by Step, on its
/// thread; they must not call the batch.
struct ServingRequest {
  std::shared_ptr<const std::vector<int>> prompt;  // checked already: 1 to max_position_embeddings tokens
  /// Sequences of one prompt object that are in at the same time: it is computed and held once.
  bool shares_prompt = false;
  model::GenerateOptions options;  // checked already; its on_token is not called
  std::uint64_t seed = 0;          // with it the tokens are those of LanguageModel::Generate
  int top = 0;                     // most probable tokens to give with each token
  /// If set: gets the prompt's tokens from the second on, scored, a piece at a time. The prompt is not shared
  /// then.
  std::function<void(std::span<const ScoredToken>)> on_prompt;
  std::function<bool(const ScoredToken&)> on_token;  // false ends the sequence
  std::function<void(SequenceEnd)> on_end;
};

struct ServingLimits {
  std::size_t max_sequences = 32;
  std::size_t key_value_bytes = 1u << 30;    // of all sequences together
  std::size_t prompt_tokens_per_step = 256;  // so that a long prompt does not keep the others waiting
};

/// Continuous batching (Orca, OSDI 2022) of an open set of sequences: they join and leave between steps, each
/// with options of its own. A step runs one new token of every sequence that writes, and pieces of the
/// prompts of those that begin (chunked prefill, Sarathi, arXiv 2308.16369), who share prompt_tokens_per_step
/// evenly. A sequence gets the same bits as it would alone. What a sequence may need is set aside when it
/// joins, so that one that is in is never thrown out. BatchGenerator is the sibling for a closed set. Not
/// thread-safe.
class ServingBatch {
 public:
  using Id = std::uint64_t;

  /// The transformer must outlive the batch.
  ServingBatch(const Transformer& transformer, const ServingLimits& limits);
  ~ServingBatch();

  /// Bytes of keys and values that are set aside for a request: of its prompt and of all tokens it may get.
  std::size_t BytesFor(const ServingRequest& request) const;
  /// Whether a request can join now.
  bool HasRoomFor(const ServingRequest& request) const;
  /// Takes a request that HasRoomFor, or any one while empty(). Throws std::bad_alloc, and has not taken it,
  /// when the machine has no memory for it.
  Id Join(ServingRequest request);
  /// Forgets a sequence at once; nothing happens if it has ended.
  void Leave(Id id);

  bool empty() const { return sequences_.empty(); }
  std::size_t size() const { return sequences_.size(); }
  std::size_t key_value_bytes() const { return key_value_bytes_; }
  /// Prompt tokens run so far; those of a shared prompt once.
  std::uint64_t prompt_tokens() const { return prompt_tokens_; }

  /// One forward pass over all sequences.
  void Step();

 private:
  struct Sequence;
  struct Beginning;
  struct Row;

  void Hold(Sequence& sequence);
  void LetGo(Sequence& sequence);
  /// Tokens that the sequence may still get, at most what the context leaves.
  int LimitOf(const ServingRequest& request) const;
  void AddPrompts(ForwardStep& step, std::vector<Row>& rows);
  void AddPiece(Sequence& sequence, std::size_t count, ForwardStep& step, std::vector<Row>& rows) const;
  /// Whether BestNextTokens gives all that the rows are asked for.
  bool WantBestOnly(std::span<const Row> rows) const;
  void Report(std::span<const Row> rows, const float* logits);
  void Take(Sequence& sequence, ScoredToken token);

  const Transformer& transformer_;
  const ServingLimits limits_;
  std::list<Sequence> sequences_;  // as they joined
  std::map<const std::vector<int>*, std::weak_ptr<Beginning>> beginnings_;
  std::size_t key_value_bytes_ = 0;
  std::uint64_t prompt_tokens_ = 0;
  Id next_id_ = 1;
};

}  // namespace forge::runtime
