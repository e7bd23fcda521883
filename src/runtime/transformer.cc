// SPDX-License-Identifier: Apache-2.0
#include "runtime/transformer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/check.h"
#include "base/thread_pool.h"
#include "model/rope.h"
#include "runtime/rotary_table.h"
#include "runtime/ternary/best_rows.h"

namespace forge::runtime {

namespace {
constexpr std::size_t kValuesPerTask = 4096;  // of work that is short for each value: some 5 us
constexpr std::size_t kTokensPerPiece =
    512;  // bounds the scratch memory: about 10 kB a token at hidden_size 576
}  // namespace

struct Transformer::Scratch {
  std::vector<float> state;             // [tokens, hidden_size], the residual stream
  std::vector<float> normed;            // [tokens, hidden_size]
  std::vector<float> projected;         // [tokens, query_size + 2 key_value_size]
  std::vector<float> attended;          // [tokens, query_size]
  std::vector<float> gate_up;           // [tokens, 2 intermediate_size]
  std::vector<float> gated;             // [tokens, intermediate_size]
  std::vector<float> added;             // [tokens, hidden_size]
  Int8Rows quantised;                   // the input of the next linear, if that takes int8
  Int8Rows next_quantised;              // of the one behind it
  std::vector<float> cosines, sines;    // [different positions, head_dim / 2]
  std::vector<std::size_t> angle_rows;  // [tokens], the row of the token's position in those two
};

Transformer::Transformer(PackedWeights weights) : weights_(std::move(weights)) {
  for (const double frequency : model::RopeFrequencies(config()))
    rope_frequencies_.push_back(static_cast<float>(frequency));
}

Transformer::~Transformer() = default;

std::size_t Transformer::TokensPerTask() const {
  return std::max<std::size_t>(1, kValuesPerTask / static_cast<std::size_t>(config().hidden_size));
}

std::unique_ptr<Transformer::Scratch> Transformer::TakeScratch() const {
  const std::lock_guard lock(spare_mutex_);
  return spare_ ? std::move(spare_) : std::make_unique<Scratch>();
}

void Transformer::KeepScratch(std::unique_ptr<Scratch> scratch) const {
  const std::lock_guard lock(spare_mutex_);
  spare_ = std::move(scratch);
}

void Transformer::Forward(std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
                          std::span<const int> wanted, float* hidden_states) const {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  // Memory that is new to the process costs a pass over a prompt 4 % of its time.
  std::unique_ptr<Scratch> kept = TakeScratch();
  Scratch& scratch = *kept;
  std::vector<int> rows;
  std::size_t next_wanted = 0;
  for (std::size_t start = 0; start < tokens.size(); start += kTokensPerPiece) {
    const std::span<const TokenInput> piece =
        tokens.subspan(start, std::min(kTokensPerPiece, tokens.size() - start));
    rows.clear();
    for (std::size_t i = next_wanted;
         i < wanted.size() && static_cast<std::size_t>(wanted[i]) < start + piece.size(); ++i)
      rows.push_back(wanted[i] - static_cast<int>(start));
    ForwardPiece(piece, caches, rows, scratch);
    for (std::size_t i = 0; i < rows.size(); ++i)
      Kernels().rms_norm(scratch.state.data() + i * hidden, weights_.final_norm.data(), hidden,
                         static_cast<float>(config().rms_norm_eps),
                         hidden_states + (next_wanted + i) * hidden);
    next_wanted += rows.size();
  }
  FORGE_CHECK(next_wanted == wanted.size());
  KeepScratch(std::move(kept));
}

void Transformer::ForwardPiece(std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
                               std::span<const int> wanted, Scratch& s) const {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  std::vector<int> all(tokens.size());
  std::iota(all.begin(), all.end(), 0);
  Embed(tokens, s);
  for (int i = 0; i < config().num_hidden_layers; ++i) {
    const PackedLayer& layer = weights_.layers[static_cast<std::size_t>(i)];
    // An observer asks for the inputs of all tokens, in the last layer too.
    const bool last = i + 1 == config().num_hidden_layers;
    const std::span<const int> rows = last && !observer_ ? wanted : std::span<const int>(all);
    Norm(layer.input_norm, tokens.size(), layer.query_key_value, i > 0, s);
    Observe(i, LinearInput::kAttention, s.normed, tokens.size());
    s.projected.resize(tokens.size() * layer.query_key_value.out());
    Multiply(layer.query_key_value, s.normed, layer.query_key_value_bias, tokens.size(), s.projected.data(),
             s);
    Attention(i, tokens, caches, rows, s);
    if (rows.size() < tokens.size())  // of the last layer
      for (std::size_t r = 0; r < rows.size(); ++r)
        std::copy_n(s.state.data() + static_cast<std::size_t>(rows[r]) * hidden, hidden,
                    s.state.data() + r * hidden);
    if (rows.empty()) continue;
    FinishLayer(i, rows.size(), s);
    if (last) AddToState(rows.size(), s);
  }
  if (observer_)
    for (std::size_t r = 0; r < wanted.size(); ++r)
      std::copy_n(s.state.data() + static_cast<std::size_t>(wanted[r]) * hidden, hidden,
                  s.state.data() + r * hidden);
  for (const TokenInput& token : tokens) caches[static_cast<std::size_t>(token.sequence)]->Extend(1);
}

void Transformer::Embed(std::span<const TokenInput> tokens, Scratch& s) const {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  const auto half = static_cast<std::size_t>(config().head_dim / 2);
  s.state.resize(tokens.size() * hidden);
  s.cosines.clear();
  s.sines.clear();
  s.angle_rows.clear();
  std::unordered_map<int, std::size_t> row_of_position;  // sequences side by side have the same positions
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    FORGE_CHECK(tokens[t].token >= 0 && tokens[t].token < config().vocab_size);
    weights_.embedding.Row(static_cast<std::size_t>(tokens[t].token), s.state.data() + t * hidden);
    const auto [entry, is_new] = row_of_position.try_emplace(tokens[t].position, row_of_position.size());
    s.angle_rows.push_back(entry->second);
    if (!is_new) continue;
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(tokens[t].position) * rope_frequencies_[i];
      s.cosines.push_back(std::cos(angle));
      s.sines.push_back(std::sin(angle));
    }
  }
}

void Transformer::Norm(const std::vector<float>& gain, std::size_t count, const Linear& next, bool adds,
                       Scratch& s) const {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  s.normed.resize(count * hidden);
  ParallelFor(count, TokensPerTask(), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      float *state = s.state.data() + t * hidden, *row = s.normed.data() + t * hidden;
      if (adds) Kernels().axpy(1.0f, s.added.data() + t * hidden, hidden, state);
      Kernels().rms_norm(state, gain.data(), hidden, static_cast<float>(config().rms_norm_eps), row);
    }
  });
  Quantise(next, s.normed, count, s);
}

void Transformer::GateUp(const PackedLayer& layer, std::size_t count, Scratch& s) const {
  const auto intermediate = static_cast<std::size_t>(config().intermediate_size);
  if (layer.down.activation_block() != 0 && !observer_) {
    layer.down.Fit(s.next_quantised, count);
    if (layer.gate_up.CanGateInto(s.quantised, s.next_quantised)) {
      layer.gate_up.MultiplyGated(s.quantised, s.next_quantised);
      std::swap(s.quantised, s.next_quantised);
      return;
    }
  }
  s.gated.resize(count * intermediate);
  if (layer.gate_up.CanGate()) {
    layer.gate_up.MultiplyGated(s.quantised, s.gated.data());
  } else {
    s.gate_up.resize(count * 2 * intermediate);
    Multiply(layer.gate_up, s.normed, {}, count, s.gate_up.data(), s);
    ParallelFor(count, std::max<std::size_t>(1, 65536 / intermediate),
                [&](std::size_t begin, std::size_t end) {
                  for (std::size_t t = begin; t < end; ++t) {
                    float* gate = s.gate_up.data() + t * 2 * intermediate;
                    Kernels().silu_multiply(gate, gate + intermediate, intermediate);
                    std::copy(gate, gate + intermediate, s.gated.data() + t * intermediate);
                  }
                });
  }
  Quantise(layer.down, s.gated, count, s);
}

void Transformer::Quantise(const Linear& next, const std::vector<float>& x, std::size_t count,
                           Scratch& s) const {
  if (next.activation_block() == 0) return;
  next.Fit(s.quantised, count);
  s.quantised.Quantize(x.data());
}

void Transformer::Multiply(const Linear& linear, const std::vector<float>& x, std::span<const float> bias,
                           std::size_t count, float* y, Scratch& s) const {
  if (linear.activation_block() != 0) return linear.Multiply(s.quantised, bias, y);
  linear.Multiply(x.data(), count, bias, y);
}

void Transformer::AddToState(std::size_t count, Scratch& s) const {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  ParallelFor(count, TokensPerTask(), [&](std::size_t begin, std::size_t end) {
    Kernels().axpy(1.0f, s.added.data() + begin * hidden, (end - begin) * hidden,
                   s.state.data() + begin * hidden);
  });
}

void Transformer::Observe(int layer, LinearInput input, const std::vector<float>& rows,
                          std::size_t count) const {
  if (observer_) observer_(layer, input, rows.data(), count, rows.size() / count);
}

void Transformer::Rotate(float* row, std::size_t angle_row, const Scratch& s) const {
  const auto half = static_cast<std::size_t>(config().head_dim / 2);
  RotateHeads(row, static_cast<std::size_t>(config().num_attention_heads + config().num_key_value_heads),
              half, s.cosines.data() + angle_row * half, s.sines.data() + angle_row * half);
}

void Transformer::Attention(int layer, std::span<const TokenInput> tokens,
                            std::span<KeyValueCache* const> caches, std::span<const int> rows,
                            Scratch& s) const {
  const auto query_size = static_cast<std::size_t>(config().query_size());
  const auto key_value_size = static_cast<std::size_t>(config().key_value_size());
  const std::size_t row_size = query_size + 2 * key_value_size;
  ParallelFor(tokens.size(), TokensPerTask(), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      float* row = s.projected.data() + t * row_size;
      NormHeads(config(), weights_.layers[static_cast<std::size_t>(layer)], row);
      Rotate(row, s.angle_rows[t], s);
      caches[static_cast<std::size_t>(tokens[t].sequence)]->Put(layer, tokens[t].position, row + query_size,
                                                                row + query_size + key_value_size);
    }
  });
  s.attended.resize(rows.size() * query_size);
  Attend(config(), layer, tokens, rows, caches, s.projected.data(), row_size, s.attended.data());
  const Linear& next = weights_.layers[static_cast<std::size_t>(layer)].attention_output;
  Quantise(next, s.attended, rows.size(), s);
}

void Transformer::FinishLayer(int index, std::size_t count, Scratch& s) const {
  const PackedLayer& layer = weights_.layers[static_cast<std::size_t>(index)];
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  s.added.resize(count * hidden);
  Observe(index, LinearInput::kAttentionOutput, s.attended, count);
  Multiply(layer.attention_output, s.attended, {}, count, s.added.data(), s);
  Norm(layer.post_attention_norm, count, layer.gate_up, true, s);
  Observe(index, LinearInput::kMlp, s.normed, count);
  GateUp(layer, count, s);
  Observe(index, LinearInput::kDown, s.gated, count);
  Multiply(layer.down, s.gated, {}, count, s.added.data(), s);
}

void Transformer::Head(const float* hidden_states, std::size_t rows, float* logits) const {
  const Linear& head = weights_.head_or_embedding();
  if (head.activation_block() == 0) return head.Multiply(hidden_states, rows, {}, logits);
  head.Multiply(QuantisedForHead(hidden_states, rows), {}, logits);
}

Int8Rows Transformer::QuantisedForHead(const float* hidden_states, std::size_t rows) const {
  const CodeMatrix& head = *weights_.head_or_embedding().codes();
  Int8Rows quantised = head.RoomFor(rows);
  quantised.Quantize(hidden_states);
  return quantised;
}

bool Transformer::CanFindBestTokens(std::size_t rows) const {
  return weights_.greedy_head == GreedyHead::kTopK && weights_.HasHeadInHalves() &&
         (rows == 1 || CanBoundMany(*weights_.head_or_embedding().codes()));
}

std::vector<std::optional<int>> Transformer::BestTokens(const float* hidden_states,
                                                        std::span<const std::span<const int>> banned) const {
  FORGE_CHECK(CanFindBestTokens(banned.size()));
  const CodeMatrix& head = *weights_.head_or_embedding().codes();
  std::vector<std::optional<int>> tokens;
  for (const std::optional<BestRow>& best :
       FindBestRows(head, QuantisedForHead(hidden_states, banned.size()), banned)) {
    tokens.emplace_back();
    if (!best) continue;
    ++tokens_;
    exact_rows_ += best->exact_rows;
    if (best->exact_rows > head.out() / 2) ++fallbacks_;
    tokens.back() = static_cast<int>(best->row);
  }
  return tokens;
}

std::size_t Transformer::lower_half_bytes() const {
  if (!weights_.HasHeadInHalves()) return 0;
  const CodeMatrix& head = *weights_.head_or_embedding().codes();
  return (head.out() + kCodeRows - 1) / kCodeRows * head.code_panels().lower_panel_bytes;
}

}  // namespace forge::runtime
