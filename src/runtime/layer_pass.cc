// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer_pass.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "runtime/attention.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kTokensPerTask = 16;  // of work that is short for each token

}  // namespace

LayerPass::LayerPass(const model::ModelConfig& config, const PackedLayer& layer, std::size_t longest)
    : config_(config), layer_(layer), one_layer_(config), rotary_(config, longest) {
  one_layer_.num_hidden_layers = 1;
}

void LayerPass::Norm(const std::vector<float>& gain, const float* states, std::size_t tokens,
                     float* rows) const {
  const auto hidden = static_cast<std::size_t>(config_.hidden_size);
  ParallelFor(tokens, kTokensPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      Kernels().rms_norm(states + t * hidden, gain.data(), hidden, static_cast<float>(config_.rms_norm_eps),
                         rows + t * hidden);
  });
}

void LayerPass::AttentionInput(const float* states, std::size_t tokens, float* rows) const {
  Norm(layer_.input_norm, states, tokens, rows);
}

void LayerPass::Attended(const float* rows, std::size_t tokens, float* attended) const {
  const auto query_size = static_cast<std::size_t>(config_.query_size());
  const auto key_value_size = static_cast<std::size_t>(config_.key_value_size());
  const auto head_dim = static_cast<std::size_t>(config_.head_dim);
  const std::size_t width = layer_.query_key_value.out();
  const std::size_t query_heads = query_size / head_dim, key_heads = key_value_size / head_dim;
  std::vector<float> projected(tokens * width);
  layer_.query_key_value.Multiply(rows, tokens, layer_.query_key_value_bias, projected.data());
  KeyValueCache cache(one_layer_, static_cast<int>(tokens));
  ParallelFor(tokens, kTokensPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      float* row = projected.data() + t * width;
      NormHeads(config_, layer_, row);
      rotary_.Rotate(row, query_heads + key_heads, t);
      cache.Put(0, static_cast<int>(t), row + query_size, row + query_size + key_value_size);
    }
  });
  std::vector<TokenInput> inputs(tokens);
  std::vector<int> all(tokens);
  std::iota(all.begin(), all.end(), 0);
  for (std::size_t t = 0; t < tokens; ++t) inputs[t] = {.token = 0, .sequence = 0, .position = all[t]};
  KeyValueCache* const caches[] = {&cache};
  Attend(one_layer_, 0, inputs, all, caches, projected.data(), width, attended);
}

void LayerPass::AddProduct(const Linear& matrix, const float* rows, std::size_t tokens, float* states) const {
  std::vector<float> added(tokens * matrix.out());
  matrix.Multiply(rows, tokens, {}, added.data());
  Kernels().axpy(1.0f, added.data(), added.size(), states);
}

void LayerPass::AddAttentionOutput(const float* attended, std::size_t tokens, float* states) const {
  AddProduct(layer_.attention_output, attended, tokens, states);
}

void LayerPass::MlpInput(const float* states, std::size_t tokens, float* rows) const {
  Norm(layer_.post_attention_norm, states, tokens, rows);
}

void LayerPass::Gated(const float* rows, std::size_t tokens, float* gated) const {
  const auto intermediate = static_cast<std::size_t>(config_.intermediate_size);
  std::vector<float> gate_up(tokens * 2 * intermediate);
  layer_.gate_up.Multiply(rows, tokens, {}, gate_up.data());
  ParallelFor(tokens, kTokensPerTask, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      float* gate = gate_up.data() + t * 2 * intermediate;
      Kernels().silu_multiply(gate, gate + intermediate, intermediate);
      std::copy_n(gate, intermediate, gated + t * intermediate);
    }
  });
}

void LayerPass::AddDown(const float* gated, std::size_t tokens, float* states) const {
  AddProduct(layer_.down, gated, tokens, states);
}

void LayerPass::Run(std::size_t tokens, float* states) const {
  std::vector<float> rows(tokens * static_cast<std::size_t>(config_.hidden_size)),
      inner(tokens * static_cast<std::size_t>(std::max(config_.query_size(), config_.intermediate_size)));
  AttentionInput(states, tokens, rows.data());
  Attended(rows.data(), tokens, inner.data());
  AddAttentionOutput(inner.data(), tokens, states);
  MlpInput(states, tokens, rows.data());
  Gated(rows.data(), tokens, inner.data());
  AddDown(inner.data(), tokens, states);
}

}  // namespace forge::runtime
