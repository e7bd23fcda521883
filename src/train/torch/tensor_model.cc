// SPDX-License-Identifier: Apache-2.0
#include "train/torch/tensor_model.h"

#include <ATen/ATen.h>

#include <cmath>

namespace forge::train {

ParameterMap ToParameters(const model::ModelWeights& weights, const at::Device& device) {
  ParameterMap parameters;
  for (const auto& [name, tensor] : weights)
    parameters[name] =
        at::from_blob(const_cast<float*>(tensor.values.data()), tensor.shape, at::kFloat).clone().to(device);
  return parameters;
}

model::ModelWeights ToWeights(const ParameterMap& parameters) {
  model::ModelWeights weights;
  for (const auto& [name, parameter] : parameters) {
    const at::Tensor values = parameter.detach().to(at::kCPU).contiguous();
    const float* data = values.const_data_ptr<float>();
    weights[name] = {values.sizes().vec(), std::vector<float>(data, data + values.numel())};
  }
  return weights;
}

TensorModel::TensorModel(const model::ModelConfig& config, const ParameterMap& parameters)
    : config_(config), parameters_(parameters) {
  model::CheckEngineComputes(config, {}, "the training engine");
}

at::Tensor TensorModel::Embed(const at::Tensor& tokens) const {
  return at::embedding(Parameter("model.embed_tokens.weight"), tokens);
}

at::Tensor TensorModel::Linear(const at::Tensor& x, const std::string& name) const {
  const at::Tensor& weight = Parameter(name + ".weight");
  const auto bias = parameters_.find(name + ".bias");
  return bias == parameters_.end() ? at::linear(x, weight) : at::linear(x, weight, bias->second);
}

at::Tensor TensorModel::Norm(const at::Tensor& x, const std::string& name) const {
  const at::Tensor inverse = at::rsqrt(x.square().mean(-1, true) + config_.rms_norm_eps);
  return x * inverse * Parameter(name);
}

at::Tensor TensorModel::Attention(const at::Tensor& x, const std::string& prefix, const at::Tensor& cosine,
                                  const at::Tensor& sine, const at::Tensor& mask) const {
  const std::int64_t rows = x.size(0), length = x.size(1), head_dim = config_.head_dim;
  const auto heads = [&](const char* name, int count) {
    return Linear(x, prefix + name).view({rows, length, count, head_dim}).transpose(1, 2);
  };
  const auto rotate =
      [&](const at::Tensor& t) {  // half-split layout: (a, b) -> (a cos - b sin, b cos + a sin)
        const at::Tensor a = t.narrow(-1, 0, head_dim / 2), b = t.narrow(-1, head_dim / 2, head_dim / 2);
        return at::cat({a * cosine - b * sine, b * cosine + a * sine}, -1);
      };
  const std::int64_t groups = config_.num_attention_heads / config_.num_key_value_heads;
  const auto repeat = [&](const at::Tensor& t) { return groups == 1 ? t : t.repeat_interleave(groups, 1); };
  const at::Tensor query = rotate(heads("q_proj", config_.num_attention_heads));
  const at::Tensor key = repeat(rotate(heads("k_proj", config_.num_key_value_heads)));
  const at::Tensor value = repeat(heads("v_proj", config_.num_key_value_heads));
  const at::Tensor attended = mask.defined()
                                  ? at::scaled_dot_product_attention(query, key, value, mask)
                                  : at::scaled_dot_product_attention(query, key, value, {}, 0.0, true);
  return Linear(attended.transpose(1, 2).reshape({rows, length, config_.query_size()}), prefix + "o_proj");
}

at::Tensor TensorModel::Forward(const at::Tensor& embeddings, const at::Tensor& positions,
                                const at::Tensor& mask) const {
  const std::int64_t half = config_.head_dim / 2;
  const at::Tensor exponents =
      at::arange(half, at::TensorOptions().dtype(at::kDouble).device(embeddings.device())) *
      (-2.0 / config_.head_dim);
  const at::Tensor frequencies = at::pow(config_.rope_theta, exponents).to(at::kFloat);
  const at::Tensor angles =
      (positions.to(at::kFloat).unsqueeze(-1) * frequencies).unsqueeze(1);  // [rows, 1, length, half]
  const at::Tensor cosine = angles.cos(), sine = angles.sin();
  at::Tensor state = embeddings;
  for (int layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    state = state + Attention(Norm(state, prefix + "input_layernorm.weight"), prefix + "self_attn.", cosine,
                              sine, mask);
    const at::Tensor normed = Norm(state, prefix + "post_attention_layernorm.weight");
    const at::Tensor gated =
        at::silu(Linear(normed, prefix + "mlp.gate_proj")) * Linear(normed, prefix + "mlp.up_proj");
    state = state + Linear(gated, prefix + "mlp.down_proj");
  }
  return Norm(state, "model.norm.weight");
}

at::Tensor TensorModel::Head(const at::Tensor& states) const {
  return at::linear(states,
                    Parameter(config_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"));
}

}  // namespace forge::train
