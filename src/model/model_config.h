// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace forge::model {

/// How a model reaches positions beyond those it was first trained on, in the words of config.json's
/// rope_scaling; what it computes: model/rope.h. YaRN, dynamic and longrope are not computed and are refused
/// when a file is read.
struct RopeScaling {
  enum class Type { kNone, kLinear, kLlama3 };
  Type type = Type::kNone;
  double factor = 1;  // of both; at least 1
  // of llama3:
  double low_freq_factor = 0, high_freq_factor = 0;  // low < high
  int original_max_position_embeddings = 0;
  bool operator==(const RopeScaling&) const = default;
};

/// "none", "linear" or "llama3".
const char* Name(RopeScaling::Type type);

/// The shape of a decoder of one of the architectures of model/architecture.h, in the words of Hugging Face's
/// config.json.
struct ModelConfig {
  std::string model_type = "qwen2";  // one that FindArchitecture knows
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
  RopeScaling rope_scaling;
  bool attention_bias = false;  // q, k and v have a bias: always in qwen2, never in mistral and qwen3
  bool qk_norm = false;         // every head of q and k goes through an RMS norm: always and only in qwen3
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

/// What an engine computes of that which not every model has.
struct EngineSupport {
  bool rope_scaling = false;
  bool qk_norm = false;
};
/// Throws Error(kInput) if the model needs more than that, naming it and `engine` ("the training engine").
void CheckEngineComputes(const ModelConfig& config, const EngineSupport& support, const std::string& engine);

/// Number of weights of the model; a tied head is counted once.
std::int64_t CountParameters(const ModelConfig& config);

}  // namespace forge::model
