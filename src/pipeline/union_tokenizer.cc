// SPDX-License-Identifier: Apache-2.0
#include "pipeline/union_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "text/score_merges.h"
#include "text/tokenizer.h"

namespace forge::pipeline {
namespace {

using text::Alphabet;
using text::Merge;
using text::TokenizerData;
using text::TokenType;

void CheckAlphabets(const std::vector<ModelTokenizer>& models, std::size_t leader) {
  const auto way = [](const ModelTokenizer& model) {
    return model.data->alphabet == Alphabet::kBytes ? "bytes (\"\u0120the\")" : "characters (\"\u2581the\")";
  };
  for (const ModelTokenizer& model : models)
    if (model.data->alphabet != models[leader].data->alphabet)
      throw Error(
          {.what = fmt::format("cannot unite the vocabularies of {} and {}", models[leader].name, model.name),
           .why = fmt::format("{} spells tokens in {}, {} in {}: a tokenizer reads text in one way, "
                              "so it would never make the other's tokens",
                              models[leader].name, way(models[leader]), model.name, way(model)),
           .fix = "tokenizer_source: base, or merge models of one family"});
}

/// The merges of a tokenizer as a list, also where they follow from scores.
std::vector<Merge> MergesOf(const TokenizerData& data) {
  if (data.scores.empty()) return data.merges;
  std::vector<text::MergeTable::Rule> rules = MergesOfScores(data, text::TokenIndex(data.tokens)).rules;
  std::stable_sort(rules.begin(), rules.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
  std::vector<Merge> merges;
  for (const auto& rule : rules) merges.push_back({rule.left, rule.right, rule.result});
  return merges;
}

class Union {
 public:
  Union(const merge::VocabularyPlan& plan, const std::vector<ModelTokenizer>& models, std::size_t leader)
      : plan_(plan),
        models_(models),
        leader_(leader),
        first_(plan.tokens.size() - static_cast<std::size_t>(plan.added)),
        result_(KeepTokens(*models[leader].data, first_)) {}

  TokenizerData Make() {
    for (std::size_t id = first_; id < plan_.tokens.size(); ++id) AddToken(static_cast<int>(id));
    if (result_.scores.empty())
      for (std::size_t m = 0; m < models_.size(); ++m)
        if (m != leader_) AddMerges(m);
    if (!result_.scores.empty()) AddScores();
    return std::move(result_);
  }

 private:
  void AddToken(int id) {
    const auto index = static_cast<std::size_t>(id);
    std::size_t owner = 0;
    while (plan_.own_rows[owner][index] < 0) ++owner;
    const TokenizerData& data = *models_[owner].data;
    const int own = plan_.own_rows[owner][index];
    TokenType type = data.types[static_cast<std::size_t>(own)];
    if (type == TokenType::kUnknown) type = TokenType::kControl;
    if (type == TokenType::kByte && !result_.byte_fallback) type = TokenType::kNormal;
    result_.tokens.push_back(plan_.tokens[index]);
    result_.types.push_back(type);
    text::AddedTokenRule rule = RuleOf(data, own);
    rule.id = id;
    if (IsAdded(type) && rule != text::AddedTokenRule{.id = id}) result_.added.push_back(rule);
  }

  void AddMerges(std::size_t model) {
    const TokenizerData& data = *models_[model].data;
    std::vector<int> new_ids(data.tokens.size(), -1);
    for (std::size_t id = 0; id < plan_.tokens.size(); ++id)
      if (const int own = plan_.own_rows[model][id]; own >= 0)
        new_ids[static_cast<std::size_t>(own)] = static_cast<int>(id);
    const auto new_id = [&](int own) {  // halves of SentencePiece's merges may be characters without a token
      return static_cast<std::size_t>(own) < new_ids.size() ? new_ids[static_cast<std::size_t>(own)] : -1;
    };
    for (const Merge& merge : MergesOf(data)) {
      const Merge mapped{new_id(merge.left), new_id(merge.right), new_id(merge.result)};
      if (mapped.left < 0 || mapped.right < 0 || mapped.result < static_cast<int>(first_)) continue;
      // What is a control token of another model must not come out of plain text.
      if (IsAdded(result_.types[static_cast<std::size_t>(mapped.result)])) continue;
      // A pair that occurs twice would have its last rank.
      if (pairs_.emplace(mapped.left, mapped.right).second) result_.merges.push_back(mapped);
    }
  }

  /// With scores any two neighbours may merge; new tokens come after all others, in their order.
  void AddScores() {
    float score = *std::min_element(result_.scores.begin(), result_.scores.end());
    while (result_.scores.size() < result_.tokens.size()) result_.scores.push_back(score -= 1);
  }

  const merge::VocabularyPlan& plan_;
  const std::vector<ModelTokenizer>& models_;
  const std::size_t leader_, first_;  // id of the first new token
  TokenizerData result_;
  std::set<std::pair<int, int>> pairs_;  // of the new merges
};

}  // namespace

TokenizerData KeepTokens(TokenizerData data, std::size_t count) {
  if (data.tokens.size() <= count) return data;
  data.tokens.resize(count);
  data.types.resize(count);
  if (!data.scores.empty()) data.scores.resize(count);
  const auto is_gone = [&](int id) { return static_cast<std::size_t>(id) >= count; };
  std::erase_if(data.merges,
                [&](const Merge& m) { return is_gone(m.left) || is_gone(m.right) || is_gone(m.result); });
  std::erase_if(data.added, [&](const text::AddedTokenRule& rule) { return is_gone(rule.id); });
  for (std::optional<int>* id : {&data.bos, &data.eos, &data.pad, &data.unknown})
    if (*id && is_gone(**id)) id->reset();
  std::erase_if(data.before, is_gone);
  std::erase_if(data.after, is_gone);
  return data;
}

TokenizerData MakeUnionTokenizer(const merge::VocabularyPlan& plan, const std::vector<ModelTokenizer>& models,
                                 std::size_t leader) {
  CheckAlphabets(models, leader);
  return Union(plan, models, leader).Make();
}

std::vector<std::string> TokensNeverMade(const TokenizerData& data, std::size_t first) {
  std::vector<std::string> tokens;
  if (data.alphabet != Alphabet::kBytes) return tokens;
  const text::Tokenizer tokenizer(data);
  for (std::size_t id = first; id < data.tokens.size(); ++id)
    if (data.types[id] == TokenType::kNormal &&
        tokenizer.Encode(tokenizer.TokenBytes(static_cast<int>(id))) !=
            std::vector<int>{static_cast<int>(id)})
      tokens.push_back(data.tokens[id]);
  return tokens;
}

}  // namespace forge::pipeline
