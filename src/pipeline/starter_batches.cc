// SPDX-License-Identifier: Apache-2.0
#include "pipeline/starter_batches.h"

#include <algorithm>

#include "eval/starter_items.h"
#include "text/byte_tokenizer.h"

namespace forge::pipeline {

using eval::StarterDomain;

model::ModelConfig StarterModelConfig() {
  return {.model_type = "qwen2",
          .vocab_size = 264,
          .hidden_size = 128,
          .intermediate_size = 256,
          .num_hidden_layers = 4,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 32,
          .max_position_embeddings = 256,
          .rms_norm_eps = 1e-6,
          .rope_theta = 10000,
          .attention_bias = true,
          .tie_word_embeddings = true,
          .eos_token_ids = {text::kByteEndOfText},
          .pad_token_id = text::kByteEndOfText};
}

std::vector<eval::Item> MixedStarterItems(const StarterMixture& mixture, std::uint64_t seed, int step,
                                          int micro, int micro_batches) {
  std::vector<eval::Item> items;
  const auto add = [&](StarterDomain domain, int rows) {
    eval::StarterItemOptions options;
    if (domain == StarterDomain::kMath) options.max_operations = mixture.math_max_operations;
    if (domain == StarterDomain::kDirect && mixture.direct_operations > 0)
      options = eval::Exactly(mixture.direct_operations);
    for (int row = 0; row < rows; ++row)
      if (row % micro_batches == micro)
        items.push_back(eval::MakeStarterItem(
            domain, eval::Split::kTrain, seed,
            static_cast<std::uint64_t>(step) * 1024 + static_cast<std::uint64_t>(row), options));
  };
  add(StarterDomain::kMath, mixture.math);
  add(StarterDomain::kCode, mixture.code);
  add(StarterDomain::kStructured, mixture.structured);
  add(StarterDomain::kDirect, mixture.direct);
  return items;
}

train::TokenBatch BatchOf(const text::Tokenizer& tokenizer, const std::vector<eval::Item>& items,
                          Target target) {
  std::vector<std::vector<int>> rows;
  std::vector<std::size_t> prompts;
  train::TokenBatch batch{.rows = static_cast<int>(items.size())};
  for (const eval::Item& item : items) {
    std::vector<int> tokens = tokenizer.Encode(item.prompt);
    prompts.push_back(tokens.size());
    const std::vector<int> completion = tokenizer.Encode(item.completion);
    tokens.insert(tokens.end(), completion.begin(), completion.end());
    batch.length = std::max(batch.length, static_cast<int>(tokens.size()));
    rows.push_back(std::move(tokens));
  }
  std::vector<float>& weights = target == Target::kTokens ? batch.token_weights : batch.teacher_weights;
  for (std::size_t row = 0; row < rows.size(); ++row)
    for (std::size_t t = 0; t < static_cast<std::size_t>(batch.length); ++t) {
      batch.tokens.push_back(t < rows[row].size() ? rows[row][t] : 0);
      weights.push_back(t >= prompts[row] && t < rows[row].size() ? 1.0f : 0.0f);
    }
  return batch;
}

train::TokenBatch MixedStarterBatch(const text::Tokenizer& tokenizer, const StarterMixture& mixture,
                                    std::uint64_t seed, int step, int micro, int micro_batches) {
  return BatchOf(tokenizer, MixedStarterItems(mixture, seed, step, micro, micro_batches), Target::kTokens);
}

}  // namespace forge::pipeline
