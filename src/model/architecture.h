// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::model {

/// One of the architectures that forge computes: decoders with RMS norm, rotary positions, grouped-query
/// attention and a gated SiLU MLP, which differ in the points below. A new one is a
/// row of the table in architecture.cc, its tensors in ListTensors and their names in GgufName.
struct Architecture {
  const char* model_type;  // of config.json
  const char* class_name;  // of transformers
  const char* gguf_name;   // general.architecture; Mistral is "llama" there
  const char* models;      // known models of it, for messages
  bool has_qkv_bias;       // q, k and v always have a bias
  bool has_qk_norm;        // each head of q and k goes through an RMS norm before the rotation
  bool permutes_gguf;      // GGUF stores the rows of q and k for rotations of neighbors
  // What transformers takes for fields that a config.json leaves out; 0: as the other fields say.
  int default_key_value_heads, default_head_dim, default_positions, default_window;
};

/// nullptr for a model_type that forge does not compute.
const Architecture* FindArchitecture(std::string_view model_type);
/// The one that a GGUF file of this general.architecture is read as; nullptr if none.
const Architecture* FindGgufArchitecture(std::string_view gguf_name);
/// "llama (Llama 2 and 3, ...), ...": all of them, for messages.
std::string ListArchitectures();

}  // namespace forge::model
