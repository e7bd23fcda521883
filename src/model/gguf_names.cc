// SPDX-License-Identifier: Apache-2.0
// Names and row order of GGUF and of Hugging Face.
#include <array>
#include <utility>

#include "base/check.h"
#include "model/architecture.h"
#include "model/gguf_model.h"

namespace forge::model {
namespace {

/// Endings in a layer: Hugging Face's and GGUF's.
constexpr std::array<std::pair<const char*, const char*>, 14> kLayerNames = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
}};

}  // namespace

std::string GgufName(const std::string& name) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  const std::string prefix = "model.layers.";
  FORGE_CHECK(name.starts_with(prefix));
  const std::size_t dot = name.find('.', prefix.size());
  for (const auto& [ours, theirs] : kLayerNames)
    if (name.substr(dot + 1) == ours)
      return "blk." + name.substr(prefix.size(), dot + 1 - prefix.size()) + theirs;
  FORGE_CHECK(!"a tensor name of ListTensors");
  return "";
}

bool IsPermutedInGguf(const ModelConfig& config, const TensorSpec& spec) {
  return FindArchitecture(config.model_type)->permutes_gguf &&
         (spec.name.find("self_attn.q_proj.") != std::string::npos ||
          spec.name.find("self_attn.k_proj.") != std::string::npos);
}

std::int64_t HuggingFaceRow(std::int64_t row, int head_dim) {
  const std::int64_t within = row % head_dim;
  return row - within + within % 2 * (head_dim / 2) + within / 2;
}

std::int64_t GgufRow(std::int64_t row, int head_dim) {
  const std::int64_t within = row % head_dim, half = head_dim / 2;
  return row - within + within % half * 2 + within / half;
}

}  // namespace forge::model
