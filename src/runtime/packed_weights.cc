// SPDX-License-Identifier: Apache-2.0
#include "runtime/packed_weights.h"

#include <fmt/format.h>

#include "base/error.h"

namespace forge::runtime {
namespace {

class Packer {
 public:
  Packer(const model::ModelWeights& weights, const model::TernaryWeights& ternary)
      : weights_(weights), ternary_(ternary) {}

  const std::vector<float>& Values(const std::string& name) const {
    const auto found = weights_.find(name);
    if (found == weights_.end())
      throw Error({.what = "cannot prepare the model for the runtime",
                   .why = "tensor " + name + " is missing",
                   .fix = "copy or convert the model again"});
    return found->second.values;
  }

  /// The named linears, one below the other.
  PackedMatrix Pack(const std::vector<std::string>& names, std::size_t in, WeightType type) const {
    std::size_t ternary_count = 0;
    for (const std::string& name : names) ternary_count += ternary_.contains(name);
    if (ternary_count == names.size()) return PackTernary(names, in);
    if (ternary_count != 0)
      throw Error({.what = "cannot prepare the model for the runtime",
                   .why = fmt::format("{} and its neighbours are only partly ternary", names.front()),
                   .fix = "compress q, k, v (and gate, up) of a layer together"});
    if (type == WeightType::kInt8 && in % 32 != 0)
      throw Error({.what = "cannot use 8-bit weights for " + names.front(),
                   .why = fmt::format("its input size {} is not a multiple of 32", in),
                   .fix = "use float32 or bfloat16 weights for this model"});
    if (names.size() == 1) {
      const std::vector<float>& values = Values(names.front());
      return PackedMatrix::Pack(values, values.size() / in, in, type);
    }
    std::vector<float> stacked;
    for (const std::string& name : names) {
      const std::vector<float>& values = Values(name);
      stacked.insert(stacked.end(), values.begin(), values.end());
    }
    return PackedMatrix::Pack(stacked, stacked.size() / in, in, type);
  }

 private:
  PackedMatrix PackTernary(const std::vector<std::string>& names, std::size_t in) const {
    std::vector<std::int8_t> codes;
    std::vector<float> scales;
    const int group = ternary_.at(names.front()).group;
    for (const std::string& name : names) {
      const model::TernaryTensor& tensor = ternary_.at(name);
      if (tensor.group != group)
        throw Error({.what = "cannot prepare the model for the runtime",
                     .why = "the group sizes of " + names.front() + " and " + name + " differ",
                     .fix = "compress the model again with one group size"});
      codes.insert(codes.end(), tensor.codes.begin(), tensor.codes.end());
      scales.insert(scales.end(), tensor.scales.begin(), tensor.scales.end());
    }
    return PackedMatrix::PackTernary(codes, scales, codes.size() / in, in, static_cast<std::size_t>(group));
  }

  const model::ModelWeights& weights_;
  const model::TernaryWeights& ternary_;
};

}  // namespace

std::size_t PackedWeights::bytes() const {
  std::size_t total = embedding.bytes() + head.bytes() + final_norm.size() * sizeof(float);
  for (const PackedLayer& layer : layers)
    total +=
        layer.query_key_value.bytes() + layer.attention_output.bytes() + layer.gate_up.bytes() +
        layer.down.bytes() +
        (layer.input_norm.size() + layer.post_attention_norm.size() + layer.query_key_value_bias.size()) *
            sizeof(float);
  return total;
}

PackedWeights PackWeights(const model::ModelConfig& config, const model::ModelWeights& weights,
                          const PackOptions& options, const model::TernaryWeights& ternary) {
  model::CheckEngineComputes(config, {.rope_scaling = true, .qk_norm = true}, "the native runtime");
  const Packer packer(weights, ternary);
  const auto hidden = static_cast<std::size_t>(config.hidden_size);
  PackedWeights packed{.config = config};
  packed.embedding = packer.Pack({"model.embed_tokens.weight"}, hidden, options.embeddings);
  if (!config.tie_word_embeddings) packed.head = packer.Pack({"lm_head.weight"}, hidden, options.embeddings);
  packed.final_norm = packer.Values("model.norm.weight");
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    PackedLayer& layer = packed.layers.emplace_back();
    layer.input_norm = packer.Values(prefix + "input_layernorm.weight");
    layer.post_attention_norm = packer.Values(prefix + "post_attention_layernorm.weight");
    layer.query_key_value =
        packer.Pack({attention + "q_proj.weight", attention + "k_proj.weight", attention + "v_proj.weight"},
                    hidden, options.linears);
    if (config.attention_bias)
      for (const char* name : {"q_proj.bias", "k_proj.bias", "v_proj.bias"}) {
        const std::vector<float>& bias = packer.Values(attention + name);
        layer.query_key_value_bias.insert(layer.query_key_value_bias.end(), bias.begin(), bias.end());
      }
    if (config.qk_norm) {
      layer.query_norm = packer.Values(attention + "q_norm.weight");
      layer.key_norm = packer.Values(attention + "k_norm.weight");
    }
    layer.attention_output = packer.Pack({attention + "o_proj.weight"},
                                         static_cast<std::size_t>(config.query_size()), options.linears);
    layer.gate_up = packer.Pack({mlp + "gate_proj.weight", mlp + "up_proj.weight"}, hidden, options.linears);
    layer.down = packer.Pack({mlp + "down_proj.weight"}, static_cast<std::size_t>(config.intermediate_size),
                             options.linears);
  }
  return packed;
}

}  // namespace forge::runtime
