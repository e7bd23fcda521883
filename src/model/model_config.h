// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace forge::model {

/// The shape of a decoder of the Llama or Qwen2 family, in the words of Hugging Face's config.json.
struct ModelConfig {
  std::string model_type = "qwen2";  // "qwen2" or "llama"
  int vocab_size = 0;                // rows of the embedding table, at least the tokenizer's size
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;  // divides num_attention_heads (grouped-query attention)
  int head_dim = 0;             // hidden_size / num_attention_heads unless the file says otherwise
  int max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  bool attention_bias = false;  // q, k and v have a bias: always in qwen2, by the file in llama
  bool tie_word_embeddings = false;
  int bos_token_id = -1;           // -1: none
  std::vector<int> eos_token_ids;  // one or more; config.json and generation_config.json may give a list
  int pad_token_id = -1;

  int query_size() const { return num_attention_heads * head_dim; }
  int key_value_size() const { return num_key_value_heads * head_dim; }
  bool operator==(const ModelConfig&) const = default;
};

/// Throws Error(kInput) with all the rules that the config breaks (sizes <= 0, heads that do not divide, an
/// odd head_dim, an unknown model_type). `source` names the file in the message.
void CheckConfig(const ModelConfig& config, const std::string& source);

/// Number of weights of the model; a tied head is counted once.
std::int64_t CountParameters(const ModelConfig& config);

}  // namespace forge::model
