// SPDX-License-Identifier: Apache-2.0
#include "model/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"
#include "model/architecture.h"
#include "model/model_weights.h"

namespace forge::model {

namespace {

void CheckScaling(const RopeScaling& scaling, std::vector<std::string>& problems) {
  if (scaling.type == RopeScaling::Type::kNone) return;
  if (!(scaling.factor >= 1) || !std::isfinite(scaling.factor))
    problems.push_back(
        fmt::format("the factor of the rope scaling is {}; it must be at least 1", scaling.factor));
  if (scaling.type != RopeScaling::Type::kLlama3) return;
  if (!(scaling.low_freq_factor > 0) || !(scaling.high_freq_factor > scaling.low_freq_factor) ||
      !std::isfinite(scaling.high_freq_factor))
    problems.push_back(
        fmt::format("low_freq_factor is {} and high_freq_factor {}; they must be above 0 and rise",
                    scaling.low_freq_factor, scaling.high_freq_factor));
  if (scaling.original_max_position_embeddings <= 0)
    problems.push_back(fmt::format("original_max_position_embeddings is {}; it must be above 0",
                                   scaling.original_max_position_embeddings));
}

}  // namespace

const char* Name(RopeScaling::Type type) {
  return type == RopeScaling::Type::kNone ? "none" : type == RopeScaling::Type::kLinear ? "linear" : "llama3";
}

void CheckEngineComputes(const ModelConfig& config, const EngineSupport& support, const std::string& engine) {
  std::vector<std::string> missing;
  if (config.rope_scaling.type != RopeScaling::Type::kNone && !support.rope_scaling)
    missing.push_back(fmt::format("positions scaled by \"{}\"", Name(config.rope_scaling.type)));
  if (config.qk_norm && !support.qk_norm) missing.push_back("norms on q and k");
  if (missing.empty()) return;
  throw Error(
      {.kind = ErrorKind::kInput,
       .what = fmt::format("cannot run this {} model in {}", config.model_type, engine),
       .why = fmt::format("it has {}, which {} does not compute yet", fmt::join(missing, " and "), engine),
       .fix = "forge inspect, check and convert work on it; run it in llama.cpp or transformers"});
}

void CheckConfig(const ModelConfig& c, const std::string& source) {
  std::vector<std::string> problems;
  const auto positive = [&](const char* name, double value) {
    if (!(value > 0)) problems.push_back(fmt::format("{} is {}; it must be above 0", name, value));
  };
  if (const Architecture* architecture = FindArchitecture(c.model_type); architecture == nullptr)
    problems.push_back(
        fmt::format("model_type is \"{}\"; forge knows {}", c.model_type, ListArchitectures()));
  else if (architecture->has_qk_norm != c.qk_norm)
    problems.push_back(fmt::format("{} models {} norms on q and k", c.model_type,
                                   architecture->has_qk_norm ? "have" : "do not have"));
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
  CheckScaling(c.rope_scaling, problems);
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
               .fix = "check the config of this model against the one that was published with it"});
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
