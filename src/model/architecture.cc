// SPDX-License-Identifier: Apache-2.0
#include "model/architecture.h"

namespace forge::model {
namespace {

// Defaults: transformers 5.23.0, models/*/configuration_*.py.
constexpr Architecture kArchitectures[] = {
    {.model_type = "llama",
     .class_name = "LlamaForCausalLM",
     .gguf_name = "llama",
     .models = "Llama 2 and 3, SmolLM, SmolLM2",
     .permutes_gguf = true,
     .default_positions = 2048},
    {.model_type = "mistral",
     .class_name = "MistralForCausalLM",
     .gguf_name = "llama",
     .models = "Mistral without sliding window",
     .permutes_gguf = true,
     .default_key_value_heads = 8,
     .default_positions = 4096 * 32,
     .default_window = 4096},
    {.model_type = "qwen2",
     .class_name = "Qwen2ForCausalLM",
     .gguf_name = "qwen2",
     .models = "Qwen2, Qwen2.5",
     .has_qkv_bias = true,
     .default_key_value_heads = 32,
     .default_positions = 32768},
    {.model_type = "qwen3",
     .class_name = "Qwen3ForCausalLM",
     .gguf_name = "qwen3",
     .models = "Qwen3",
     .has_qk_norm = true,
     .default_key_value_heads = 32,
     .default_head_dim = 128,
     .default_positions = 32768},
};

}  // namespace

const Architecture* FindArchitecture(std::string_view model_type) {
  for (const Architecture& architecture : kArchitectures)
    if (architecture.model_type == model_type) return &architecture;
  return nullptr;
}

const Architecture* FindGgufArchitecture(std::string_view gguf_name) {
  for (const Architecture& architecture : kArchitectures)
    if (architecture.gguf_name == gguf_name) return &architecture;
  return nullptr;
}

std::string ListArchitectures() {
  std::string list;
  for (const Architecture& architecture : kArchitectures)
    list +=
        (list.empty() ? "" : ", ") + std::string(architecture.model_type) + " (" + architecture.models + ")";
  return list;
}

}  // namespace forge::model
