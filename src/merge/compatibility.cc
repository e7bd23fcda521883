// SPDX-License-Identifier: Apache-2.0
#include "merge/compatibility.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace forge::merge {

std::vector<std::string> FindDifferences(const std::vector<NamedConfig>& models) {
  std::vector<std::string> differences;
  if (models.empty()) return differences;
  const model::ModelConfig& first = models.front().config;
  for (std::size_t i = 1; i < models.size(); ++i) {
    const model::ModelConfig& other = models[i].config;
    const auto compare = [&](const char* field, const auto& a, const auto& b) {
      if (a != b)
        differences.push_back(
            fmt::format("{} is {} in {} and {} in {}", field, a, models.front().name, b, models[i].name));
    };
    compare("model_type", first.model_type, other.model_type);
    compare("vocab_size", first.vocab_size, other.vocab_size);
    compare("hidden_size", first.hidden_size, other.hidden_size);
    compare("intermediate_size", first.intermediate_size, other.intermediate_size);
    compare("num_hidden_layers", first.num_hidden_layers, other.num_hidden_layers);
    compare("num_attention_heads", first.num_attention_heads, other.num_attention_heads);
    compare("num_key_value_heads", first.num_key_value_heads, other.num_key_value_heads);
    compare("head_dim", first.head_dim, other.head_dim);
    compare("rms_norm_eps", first.rms_norm_eps, other.rms_norm_eps);
    compare("rope_theta", first.rope_theta, other.rope_theta);
    compare("attention_bias", first.attention_bias, other.attention_bias);
    compare("tie_word_embeddings", first.tie_word_embeddings, other.tie_word_embeddings);
  }
  return differences;
}

void CheckCompatible(const std::vector<NamedConfig>& models) {
  const std::vector<std::string> differences = FindDifferences(models);
  if (differences.empty()) return;
  std::vector<std::string> names;
  for (const NamedConfig& model : models) names.push_back(model.name);
  throw Error({.kind = ErrorKind::kInput,
               .what = fmt::format("cannot merge {}", fmt::join(names, ", ")),
               .why = fmt::format("{}", fmt::join(differences, "; ")),
               .fix = "merge fine-tunes of one base model; `forge check MODEL...` lists the differences"});
}

}  // namespace forge::merge
