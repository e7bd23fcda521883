// SPDX-License-Identifier: Apache-2.0
#include "pipeline/distillation_rows.h"

#include "base/error.h"

namespace forge::pipeline {
namespace {

std::vector<int> TokensOf(const eval::Item& item, const text::Tokenizer& tokenizer,
                          const model::ModelConfig& config) {
  std::vector<int> tokens = tokenizer.Encode(item.prompt);
  const std::vector<int> completion = tokenizer.Encode(item.completion);
  tokens.insert(tokens.end(), completion.begin(), completion.end());
  if (!config.eos_token_ids.empty()) tokens.push_back(config.eos_token_ids.front());
  if (tokens.size() > DistillationRows::kRowTokens) tokens.resize(DistillationRows::kRowTokens);
  return tokens;
}

std::vector<train::Document> Documents(const std::map<std::string, std::vector<eval::Item>>& domains,
                                       const text::Tokenizer& tokenizer, const model::ModelConfig& config,
                                       std::int64_t tokens) {
  std::vector<train::Document> documents;
  for (const auto& [name, items] : domains) {
    std::int64_t left = tokens / static_cast<std::int64_t>(domains.size());
    const std::size_t first = documents.size();
    for (std::size_t i = 0; i < items.size() && left > 0; ++i) {
      std::vector<int> text = TokensOf(items[i], tokenizer, config);
      if (text.size() < 2) continue;
      left -= static_cast<std::int64_t>(text.size());
      documents.push_back({std::move(text), 1});
    }
    if (documents.size() == first)
      throw Error({.what = "there is nothing to train on in the domain " + name,
                   .why = "it has no text of two tokens",
                   .fix = "give a data set with longer texts, or do without training"});
    for (std::size_t i = first; left > 0; ++i) {  // goes on into its own copies: the texts in turn
      left -= static_cast<std::int64_t>(documents[i].tokens.size());
      documents.push_back(train::Document(documents[i]));
    }
  }
  return documents;
}

}  // namespace

DistillationRows::DistillationRows(const std::map<std::string, std::vector<eval::Item>>& domains,
                                   const text::Tokenizer& tokenizer, const model::ModelConfig& config,
                                   std::int64_t tokens, std::uint64_t seed)
    : rows_(Documents(domains, tokenizer, config, tokens), kRowTokens, true, seed) {}

train::TokenBatch DistillationRows::Batch(int step, int micro, int micro_batches, int rows) const {
  const std::uint64_t first = static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(rows);
  const int begin = rows * micro / micro_batches, end = rows * (micro + 1) / micro_batches;
  train::TokenBatch batch = rows_.Batch(first + static_cast<std::uint64_t>(begin), end - begin);
  batch.teacher_weights = std::move(batch.token_weights);
  batch.token_weights.clear();
  return batch;
}

}  // namespace forge::pipeline
