// SPDX-License-Identifier: Apache-2.0
#include "model/model_config.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/model_weights.h"

namespace forge::model {

void CheckConfig(const ModelConfig& c, const std::string& source) {
  std::vector<std::string> problems;
  const auto positive = [&](const char* name, double value) {
    if (!(value > 0)) problems.push_back(fmt::format("{} is {}; it must be above 0", name, value));
  };
  if (c.model_type != "qwen2" && c.model_type != "llama")
    problems.push_back(fmt::format("model_type is \"{}\"; forge knows qwen2 and llama", c.model_type));
  positive("vocab_size", c.vocab_size);
  positive("hidden_size", c.hidden_size);
  positive("intermediate_size", c.intermediate_size);
  positive("num_hidden_layers", c.num_hidden_layers);
  positive("num_attention_heads", c.num_attention_heads);
  positive("num_key_value_heads", c.num_key_value_heads);
  positive("head_dim", c.head_dim);
  positive("max_position_embeddings", c.max_position_embeddings);
  positive("rms_norm_eps", c.rms_norm_eps);
  positive("rope_theta", c.rope_theta);
  if (c.head_dim % 2 != 0) problems.push_back(fmt::format("head_dim is {}; it must be even", c.head_dim));
  if (c.num_key_value_heads > 0 && c.num_attention_heads % c.num_key_value_heads != 0)
    problems.push_back(fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                                   c.num_attention_heads, c.num_key_value_heads));
  constexpr int kLimit = 1 << 24;  // far above any model of this family; keeps later products inside int64
  const std::int64_t query_size = std::int64_t{c.num_attention_heads} * c.head_dim;
  for (const std::int64_t value : {std::int64_t{c.vocab_size}, std::int64_t{c.hidden_size},
                                   std::int64_t{c.intermediate_size}, query_size})
    if (value > kLimit) problems.push_back(fmt::format("a size of {} is above {}", value, kLimit));
  constexpr int kMaxLayers = 4096;
  if (c.num_hidden_layers > kMaxLayers)
    problems.push_back(
        fmt::format("num_hidden_layers is {}; it must be at most {}", c.num_hidden_layers, kMaxLayers));
  if (problems.empty()) return;
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the model of " + source,
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "check the config of this model; forge reads decoders of the Llama and Qwen2 family"});
}

std::int64_t CountParameters(const ModelConfig& config) {
  std::int64_t count = 0;
  for (const TensorSpec& spec : ListTensors(config)) {
    std::int64_t size = 1;
    for (const std::int64_t dimension : spec.shape) size *= dimension;
    count += size;
  }
  return count;
}

}  // namespace forge::model
