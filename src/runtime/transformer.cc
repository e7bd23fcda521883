// SPDX-License-Identifier: Apache-2.0
#include "runtime/transformer.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/thread_pool.h"

namespace forge::runtime {

namespace {
constexpr std::size_t kTokensPerPiece =
    512;  // bounds the scratch memory: about 10 kB a token at hidden_size 576
}

struct Transformer::Scratch {
  std::vector<float> state;           // [tokens, hidden_size], the residual stream
  std::vector<float> normed;          // [tokens, hidden_size]
  std::vector<float> projected;       // [tokens, query_size + 2 key_value_size]
  std::vector<float> attended;        // [tokens, query_size]
  std::vector<float> gate_up;         // [tokens, 2 intermediate_size]
  std::vector<float> gated;           // [tokens, intermediate_size]
  std::vector<float> added;           // [tokens, hidden_size]
  std::vector<float> cosines, sines;  // [tokens, head_dim / 2]
};

Transformer::Transformer(PackedWeights weights) : weights_(std::move(weights)) {
  const int half = config().head_dim / 2;
  for (int i = 0; i < half; ++i)
    rope_frequencies_.push_back(
        static_cast<float>(1.0 / std::pow(config().rope_theta, 2.0 * i / config().head_dim)));
}

void Transformer::Forward(std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
                          std::span<const int> wanted, float* hidden_states) const {
  const auto hidden = static_cast<std::size_t>(config().hidden_size);
  Scratch scratch;
  std::size_t next_wanted = 0;
  for (std::size_t start = 0; start < tokens.size(); start += kTokensPerPiece) {
    const std::span<const TokenInput> piece =
        tokens.subspan(start, std::min(kTokensPerPiece, tokens.size() - start));
    ForwardPiece(piece, caches, scratch);
    for (;
         next_wanted < wanted.size() && static_cast<std::size_t>(wanted[next_wanted]) < start + piece.size();
         ++next_wanted)
      Kernels().rms_norm(
          scratch.state.data() + (static_cast<std::size_t>(wanted[next_wanted]) - start) * hidden,
          weights_.final_norm.data(), hidden, static_cast<float>(config().rms_norm_eps),
          hidden_states + next_wanted * hidden);
  }
  FORGE_CHECK(next_wanted == wanted.size());
}

void Transformer::ForwardPiece(std::span<const TokenInput> tokens, std::span<KeyValueCache* const> caches,
                               Scratch& s) const {
  const KernelTable& kernels = Kernels();
  const std::size_t count = tokens.size(), hidden = static_cast<std::size_t>(config().hidden_size);
  const auto intermediate = static_cast<std::size_t>(config().intermediate_size);
  const auto half = static_cast<std::size_t>(config().head_dim / 2);
  const auto epsilon = static_cast<float>(config().rms_norm_eps);
  s.state.resize(count * hidden);
  s.normed.resize(count * hidden);
  s.added.resize(count * hidden);
  s.projected.resize(count * static_cast<std::size_t>(config().query_size() + 2 * config().key_value_size()));
  s.attended.resize(count * static_cast<std::size_t>(config().query_size()));
  s.gate_up.resize(count * 2 * intermediate);
  s.gated.resize(count * intermediate);
  s.cosines.resize(count * half);
  s.sines.resize(count * half);
  for (std::size_t t = 0; t < count; ++t) {
    FORGE_CHECK(tokens[t].token >= 0 && tokens[t].token < config().vocab_size);
    weights_.embedding.Row(static_cast<std::size_t>(tokens[t].token), s.state.data() + t * hidden);
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(tokens[t].position) * rope_frequencies_[i];
      s.cosines[t * half + i] = std::cos(angle);
      s.sines[t * half + i] = std::sin(angle);
    }
  }
  const auto norm = [&](const std::vector<float>& gain) {
    for (std::size_t t = 0; t < count; ++t)
      kernels.rms_norm(s.state.data() + t * hidden, gain.data(), hidden, epsilon,
                       s.normed.data() + t * hidden);
  };
  const auto add = [&] { kernels.axpy(1.0f, s.added.data(), count * hidden, s.state.data()); };
  for (int i = 0; i < config().num_hidden_layers; ++i) {
    const PackedLayer& layer = weights_.layers[static_cast<std::size_t>(i)];
    const auto observe = [&](LinearInput input, const std::vector<float>& rows) {
      if (observer_) observer_(i, input, rows.data(), count, rows.size() / count);
    };
    norm(layer.input_norm);
    observe(LinearInput::kAttention, s.normed);
    layer.query_key_value.Multiply(s.normed.data(), count, layer.query_key_value_bias, s.projected.data());
    Attention(i, tokens, caches, s);
    observe(LinearInput::kAttentionOutput, s.attended);
    layer.attention_output.Multiply(s.attended.data(), count, {}, s.added.data());
    add();
    norm(layer.post_attention_norm);
    observe(LinearInput::kMlp, s.normed);
    layer.gate_up.Multiply(s.normed.data(), count, {}, s.gate_up.data());
    ParallelFor(count, std::max<std::size_t>(1, 65536 / intermediate),
                [&](std::size_t begin, std::size_t end) {
                  for (std::size_t t = begin; t < end; ++t) {
                    float* gate = s.gate_up.data() + t * 2 * intermediate;
                    kernels.silu_multiply(gate, gate + intermediate, intermediate);
                    std::copy(gate, gate + intermediate, s.gated.data() + t * intermediate);
                  }
                });
    observe(LinearInput::kDown, s.gated);
    layer.down.Multiply(s.gated.data(), count, {}, s.added.data());
    add();
  }
  for (const TokenInput& token : tokens) caches[static_cast<std::size_t>(token.sequence)]->Extend(1);
}

void Transformer::Attention(int layer, std::span<const TokenInput> tokens,
                            std::span<KeyValueCache* const> caches, Scratch& s) const {
  const auto head_dim = static_cast<std::size_t>(config().head_dim), half = head_dim / 2;
  const auto query_size = static_cast<std::size_t>(config().query_size());
  const auto key_value_size = static_cast<std::size_t>(config().key_value_size());
  const std::size_t row_size = query_size + 2 * key_value_size;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    float* row = s.projected.data() + t * row_size;
    for (std::size_t head = 0; head < (query_size + key_value_size) / head_dim; ++head) {
      float* x = row + head * head_dim;
      for (std::size_t i = 0; i < half; ++i) {
        const float cosine = s.cosines[t * half + i], sine = s.sines[t * half + i];
        const float first = x[i], second = x[i + half];
        x[i] = first * cosine - second * sine;
        x[i + half] = second * cosine + first * sine;
      }
    }
    KeyValueCache& cache = *caches[static_cast<std::size_t>(tokens[t].sequence)];
    std::copy_n(row + query_size, key_value_size, cache.Keys(layer, tokens[t].position));
    std::copy_n(row + query_size + key_value_size, key_value_size, cache.Values(layer, tokens[t].position));
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const int queries_per_key = config().num_attention_heads / config().num_key_value_heads;
  const KernelTable& kernels = Kernels();
  ParallelFor(tokens.size(), 16, [&](std::size_t begin, std::size_t end) {
    std::vector<float> scores;
    for (std::size_t t = begin; t < end; ++t) {
      scores.resize(static_cast<std::size_t>(tokens[t].position) + 1);
      for (int head = 0; head < config().num_attention_heads; ++head) {
        KeyValueSpan spans[2];
        const int count = caches[static_cast<std::size_t>(tokens[t].sequence)]->Spans(
            layer, head / queries_per_key, tokens[t].position, spans);
        const std::size_t offset = static_cast<std::size_t>(head) * head_dim;
        kernels.attend(s.projected.data() + t * row_size + offset, config().head_dim, scale, spans, count,
                       scores.data(), s.attended.data() + t * query_size + offset);
      }
    }
  });
}

void Transformer::Head(const float* hidden_states, std::size_t rows, float* logits) const {
  const PackedMatrix& head = config().tie_word_embeddings ? weights_.embedding : weights_.head;
  head.Multiply(hidden_states, rows, {}, logits);
}

}  // namespace forge::runtime
