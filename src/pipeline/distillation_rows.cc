// SPDX-License-Identifier: Apache-2.0
#include "pipeline/distillation_rows.h"

#include <algorithm>

#include "base/error.h"

namespace forge::pipeline {
namespace {

std::vector<int> TokensOf(const eval::Item& item, const text::Tokenizer& tokenizer,
                          const model::ModelConfig& config) {
  std::vector<int> tokens = tokenizer.Encode(item.prompt);
  const std::vector<int> completion = tokenizer.Encode(item.completion);
  tokens.insert(tokens.end(), completion.begin(), completion.end());
  if (!config.eos_token_ids.empty()) tokens.push_back(config.eos_token_ids.front());
  return tokens;
}

/// Each part of at most kRowTokens as a document of its own, without a last part of one token.
std::int64_t AddParts(const std::vector<int>& tokens, std::vector<train::Document>& documents) {
  std::int64_t added = 0;
  for (std::size_t first = 0; first + 1 < tokens.size(); first += DistillationRows::kRowTokens) {
    const std::size_t count = std::min<std::size_t>(DistillationRows::kRowTokens, tokens.size() - first);
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(first);
    documents.push_back({std::vector<int>(begin, begin + static_cast<std::ptrdiff_t>(count)), 1});
    added += static_cast<std::int64_t>(count);
  }
  return added;
}

std::vector<train::Document> Documents(const std::map<std::string, std::vector<eval::Item>>& domains,
                                       const text::Tokenizer& tokenizer, const model::ModelConfig& config,
                                       std::int64_t tokens) {
  std::vector<train::Document> documents;
  for (const auto& [name, items] : domains) {
    std::int64_t left = tokens / static_cast<std::int64_t>(domains.size());
    const std::size_t first = documents.size();
    for (std::size_t i = 0; i < items.size() && left > 0; ++i)
      left -= AddParts(TokensOf(items[i], tokenizer, config), documents);
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
