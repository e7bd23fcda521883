// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "runtime/attention.h"
#include "runtime/packed_weights.h"

namespace forge::runtime {

/// What goes into a linear: that of q, k, v; of o; of gate, up; of down.
enum class LinearInput { kAttention, kAttentionOutput, kMlp, kDown };
/// Sees rows [count, width] of one layer's linear input, on the thread that runs the forward pass.
using LinearObserver = std::function<void(int layer, LinearInput input, const float* rows, std::size_t count,
                                          std::size_t width)>;

/// What Transformer::BestToken did so far.
struct BestTokenCounts {
  std::uint64_t tokens = 0;
  std::uint64_t exact_rows = 0;  // of the head, multiplied with all their bits; of all tokens together
  std::uint64_t fallbacks = 0;   // tokens for which those were more than half of the vocabulary
};

/// The forward pass of a Llama or Qwen2 decoder (pre-norm, RoPE in the half-split layout of Hugging Face,
/// grouped queries, SwiGLU), and of those that add to it: norms on q and k (Qwen3), scaled rotary positions
/// (model/rope.h). In the last layer only tokens whose state is asked for go beyond their keys and values.
/// Tokens of many sequences run together; the result of a token does not depend on the others.
class Transformer {
 public:
  explicit Transformer(PackedWeights weights);
  ~Transformer();

  const model::ModelConfig& config() const { return weights_.config; }
  std::size_t weight_bytes() const { return weights_.bytes(); }
  Activations activations() const { return weights_.activations; }
  KeyValueType key_values() const { return weights_.key_values; }
  /// An empty cache for this model.
  KeyValueCache MakeCache(int capacity, std::shared_ptr<const KeyValueCache> prefix = nullptr) const {
    return KeyValueCache(config(), capacity, std::move(prefix), key_values());
  }

  /// From now on shows `observer` every input of the linears; an empty one ends that. Not during a forward
  /// pass.
  void ObserveLinearInputs(LinearObserver observer) { observer_ = std::move(observer); }

  /// Appends the tokens to their caches. hidden_states [wanted.size(), hidden_size]: the final-normed state
  /// of the tokens whose indices are in `wanted` (ascending). Works through long inputs in pieces.
  void Forward(std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
               std::span<const int> wanted, float* hidden_states) const;

  /// logits [rows, vocab_size] of hidden_states [rows, hidden_size].
  void Head(const float* hidden_states, std::size_t rows, float* logits) const;

  /// Whether BestTokens may be used for so many states: greedy_head is kTopK, and the head is held in halves;
  /// and CanBoundMany, if it is not one state.
  bool CanFindBestTokens(std::size_t rows) const;
  /// For each of some hidden states the token of its highest logit, the lowest id among equals, none of its
  /// `banned` [rows]; nothing if all are. By FindBestRows (ternary/best_rows.h), whose error bound is a
  /// statistical one: about half of the head is read. Only if CanFindBestTokens.
  ///   hidden_states [banned.size(), hidden_size]
  std::vector<std::optional<int>> BestTokens(const float* hidden_states,
                                             std::span<const std::span<const int>> banned) const;
  BestTokenCounts best_token_counts() const { return {tokens_, exact_rows_, fallbacks_}; }
  /// Bytes of the lower halves of the head, which BestTokens reads for exact_rows only; 0 if it is not held
  /// so.
  std::size_t lower_half_bytes() const;

 private:
  struct Scratch;
  /// Of norms, rotations and the like: in small models one task has many, or waking a thread takes longer.
  std::size_t TokensPerTask() const;
  /// That of an earlier pass, or a new one: passes may run side by side.
  std::unique_ptr<Scratch> TakeScratch() const;
  void KeepScratch(std::unique_ptr<Scratch> scratch) const;
  /// Runs one piece. The state of the tokens `wanted` (ascending indices) ends in the first rows of
  /// scratch.state.
  void ForwardPiece(std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
                    std::span<const int> wanted, Scratch& scratch) const;
  void Embed(std::span<const TokenInput> tokens, Scratch& scratch) const;
  /// Keys and values of all tokens into the caches, and the attention of the tokens `rows` into
  /// scratch.attended.
  void Attention(int layer, std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
                 std::span<const int> rows, Scratch& scratch) const;
  /// Rotary positions for the queries and keys of one token: row [query_size + key_value_size].
  void Rotate(float* row, std::size_t angle_row, const Scratch& scratch) const;
  /// The attention output added to the first `count` rows of scratch.state, and the MLP of those in
  /// scratch.added, which is still to be added.
  void FinishLayer(int layer, std::size_t count, Scratch& scratch) const;
  /// The first `count` rows of scratch.state, normed, as the input of `next`; if `adds`, scratch.added is
  /// added to them before.
  void Norm(const std::vector<float>& gain, std::size_t count, const Linear& next, bool adds,
            Scratch& scratch) const;
  /// silu(gate) * up of the normed rows, as the input of `down`.
  void GateUp(const PackedLayer& layer, std::size_t count, Scratch& scratch) const;
  /// Rows x [count, next.in()] into scratch.quantised, if `next` takes int8.
  void Quantise(const Linear& next, const std::vector<float>& x, std::size_t count, Scratch& scratch) const;
  /// y = x W^T + b of the rows that Norm, GateUp or Attention made ready for `linear`.
  void Multiply(const Linear& linear, const std::vector<float>& x, std::span<const float> bias,
                std::size_t count, float* y, Scratch& scratch) const;
  /// scratch.state += scratch.added, `count` rows.
  void AddToState(std::size_t count, Scratch& scratch) const;
  void Observe(int layer, LinearInput input, const std::vector<float>& rows, std::size_t count) const;

  Int8Rows QuantisedForHead(const float* hidden_states, std::size_t rows) const;

  PackedWeights weights_;
  LinearObserver observer_;
  mutable std::mutex spare_mutex_;
  mutable std::unique_ptr<Scratch> spare_;
  mutable std::atomic<std::uint64_t> tokens_ = 0, exact_rows_ = 0, fallbacks_ = 0;  // BestTokenCounts
  std::vector<float> rope_frequencies_;                                             // [head_dim / 2]
};

}  // namespace forge::runtime
