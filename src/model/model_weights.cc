// SPDX-License-Identifier: Apache-2.0
#include "model/model_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace forge::model {

namespace {

void ThrowIfUnusable(std::vector<std::string> problems, const std::string& source) {
  if (problems.empty()) return;
  constexpr std::size_t kShown = 8;
  const std::size_t more = problems.size() > kShown ? problems.size() - kShown : 0;
  problems.resize(problems.size() - more);
  if (more > 0) problems.push_back(fmt::format("and {} more", more));
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the weights of " + source,
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "copy or convert the model again; config.json and the weights must belong together"});
}

}  // namespace

Tensor Dequantize(const TernaryTensor& ternary) {
  Tensor tensor{ternary.shape, std::vector<float>(ternary.codes.size())};
  const auto in = static_cast<std::size_t>(ternary.shape.back());
  const auto group = static_cast<std::size_t>(ternary.group);
  for (std::size_t i = 0; i < tensor.values.size(); ++i)
    tensor.values[i] =
        ternary.scales[i / in * (in / group) + i % in / group] * static_cast<float>(ternary.codes[i]);
  return tensor;
}

bool IsLinear(const TensorSpec& spec) {
  return spec.role == TensorRole::kAttentionLinear || spec.role == TensorRole::kMlpLinear;
}

bool IsVector(const TensorSpec& spec) {
  return spec.role == TensorRole::kNorm || spec.role == TensorRole::kAttentionBias;
}

std::vector<TensorSpec> ListTensors(const ModelConfig& c) {
  using enum TensorRole;
  std::vector<TensorSpec> specs;
  const std::int64_t hidden = c.hidden_size, query = c.query_size(), key_value = c.key_value_size();
  const std::int64_t intermediate = c.intermediate_size;
  specs.push_back({"model.embed_tokens.weight", {c.vocab_size, hidden}, kEmbedding, -1});
  for (int layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    const auto add = [&](const char* name, std::vector<std::int64_t> shape, TensorRole role) {
      specs.push_back({prefix + name, std::move(shape), role, layer});
    };
    add("input_layernorm.weight", {hidden}, kNorm);
    add("self_attn.q_proj.weight", {query, hidden}, kAttentionLinear);
    add("self_attn.k_proj.weight", {key_value, hidden}, kAttentionLinear);
    add("self_attn.v_proj.weight", {key_value, hidden}, kAttentionLinear);
    if (c.qk_norm) {
      add("self_attn.q_norm.weight", {c.head_dim}, kNorm);
      add("self_attn.k_norm.weight", {c.head_dim}, kNorm);
    }
    if (c.attention_bias) {
      add("self_attn.q_proj.bias", {query}, kAttentionBias);
      add("self_attn.k_proj.bias", {key_value}, kAttentionBias);
      add("self_attn.v_proj.bias", {key_value}, kAttentionBias);
    }
    add("self_attn.o_proj.weight", {hidden, query}, kAttentionLinear);
    add("post_attention_layernorm.weight", {hidden}, kNorm);
    add("mlp.gate_proj.weight", {intermediate, hidden}, kMlpLinear);
    add("mlp.up_proj.weight", {intermediate, hidden}, kMlpLinear);
    add("mlp.down_proj.weight", {hidden, intermediate}, kMlpLinear);
  }
  specs.push_back({"model.norm.weight", {hidden}, kNorm, -1});
  if (!c.tie_word_embeddings) specs.push_back({"lm_head.weight", {c.vocab_size, hidden}, kHead, -1});
  return specs;
}

void CheckWeights(const ModelConfig& config, const ModelWeights& weights, const std::string& source) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, tensor] : weights) shapes[name] = tensor.shape;
  CheckTensorShapes(config, shapes, source);
  std::vector<std::string> problems;
  for (const auto& [name, tensor] : weights) {
    const auto wrong = std::find_if(tensor.values.begin(), tensor.values.end(),
                                    [](float value) { return !std::isfinite(value); });
    if (wrong != tensor.values.end())
      problems.push_back(
          fmt::format("tensor {} holds {} at element {}", name, *wrong, wrong - tensor.values.begin()));
  }
  ThrowIfUnusable(problems, source);
}

void CheckTensorShapes(const ModelConfig& config,
                       const std::map<std::string, std::vector<std::int64_t>>& shapes,
                       const std::string& source) {
  std::vector<std::string> problems;
  std::map<std::string, std::vector<std::int64_t>> unexpected = shapes;
  for (const TensorSpec& spec : ListTensors(config)) {
    const auto found = shapes.find(spec.name);
    if (found == shapes.end())
      problems.push_back("tensor " + spec.name + " is missing");
    else if (found->second != spec.shape)
      problems.push_back(fmt::format("tensor {} has the shape [{}], the config asks for [{}]", spec.name,
                                     fmt::join(found->second, ", "), fmt::join(spec.shape, ", ")));
    unexpected.erase(spec.name);
  }
  for (const auto& [name, shape] : unexpected)
    problems.push_back("tensor " + name + " is not part of this architecture");
  ThrowIfUnusable(std::move(problems), source);
}

}  // namespace forge::model
