// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "model/language_model.h"
#include "text/byte_tokenizer.h"

/// For tests only: a model whose next token depends on the last one alone, so that results can be worked out
/// by hand.
namespace forge::eval::testing {

class BigramModel : public model::LanguageModel {
 public:
  explicit BigramModel(int positions = 1000) {
    config_.vocab_size = text::kByteVocabSize;
    config_.max_position_embeddings = positions;
    config_.eos_token_ids = {text::kByteEndOfText};
  }
  /// After byte `from`, byte `to` has this logit; all others have 0.
  void Set(char from, char to, float logit) { table_[Id(from)][Id(to)] = logit; }
  /// The model writes `text` once it has seen its first character (later characters must differ).
  void Teach(const std::string& text) {
    for (std::size_t i = 0; i + 1 < text.size(); ++i) Set(text[i], text[i + 1], 20);
  }
  double LogProb(char from, char to) const {
    const std::vector<float> logits = After(Id(from));
    return LogProbOf(logits, Id(to));
  }

  const model::ModelConfig& config() const override { return config_; }
  std::vector<std::vector<std::vector<float>>> Score(std::span<const model::ScoreRequest>) override {
    return {};
  }
  std::vector<float> Logits(std::span<const int>) override { return {}; }

  void VisitScores(std::span<const model::ScoredSequence> sequences,
                   const model::ScoreVisitor& visit) const override {
    ++calls;
    for (std::size_t s = 0; s < sequences.size(); ++s)
      for (std::size_t i = sequences[s].prefix; i < sequences[s].tokens.size(); ++i) {
        const std::vector<float> logits = After(sequences[s].tokens[i - 1]);
        visit(s, i, logits.data(), LogProbOf(logits, sequences[s].tokens[i]));
      }
  }

  std::vector<model::Generation> Generate(std::span<const model::GenerateRequest> requests,
                                          const model::GenerateOptions& options) override {
    std::vector<model::Generation> results;
    for (std::size_t r = 0; r < requests.size(); ++r) {
      model::Generation& result = results.emplace_back();
      int last = requests[r].prompt.back();
      while (!result.stopped && static_cast<int>(result.tokens.size()) < options.max_new_tokens) {
        const std::vector<float> logits = After(last);
        last = static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        result.tokens.push_back(last);
        result.stopped = std::find(options.stop_token_ids.begin(), options.stop_token_ids.end(), last) !=
                         options.stop_token_ids.end();
        if (options.on_token && !options.on_token(r, last)) result.stopped = true;
      }
    }
    return results;
  }

  mutable int calls = 0;  // of VisitScores

 private:
  int Id(char c) const { return tokenizer_.Encode(std::string(1, c))[0]; }
  std::vector<float> After(int token) const {
    std::vector<float> logits(static_cast<std::size_t>(config_.vocab_size));
    if (const auto row = table_.find(token); row != table_.end())
      for (const auto& [to, logit] : row->second) logits[static_cast<std::size_t>(to)] = logit;
    return logits;
  }
  static double LogProbOf(const std::vector<float>& logits, int token) {
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    return static_cast<double>(logits[static_cast<std::size_t>(token)]) - std::log(sum);
  }

  model::ModelConfig config_;
  text::Tokenizer tokenizer_{text::MakeByteTokenizer()};
  std::map<int, std::map<int, float>> table_;
};

}  // namespace forge::eval::testing
