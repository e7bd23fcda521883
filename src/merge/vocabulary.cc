// SPDX-License-Identifier: Apache-2.0
#include "merge/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "base/nearest_name.h"

namespace forge::merge {
namespace {

using Rule = RowOrigin::Rule;
using Ids = std::unordered_map<std::string, int>;

/// Ids by token; of a token that is there twice, the first.
Ids IdsOf(const std::vector<std::string>& tokens) {
  Ids ids;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (!tokens[id].empty()) ids.emplace(tokens[id], static_cast<int>(id));
  return ids;
}

int Find(const Ids& ids, const std::string& token) {
  const auto found = ids.find(token);
  return found == ids.end() ? -1 : found->second;
}

class Planner {
 public:
  Planner(const TokenizerSetting& setting, const std::vector<VocabularyInput>& models, int base)
      : setting_(setting), models_(models), base_(base) {
    FORGE_CHECK(!models.empty());
    for (const VocabularyInput& model : models) {
      std::vector<std::string> tokens = model.tokens;
      tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(model.rows)));
      ids_.push_back(IdsOf(tokens));
      kept_.push_back(std::move(tokens));
    }
  }

  VocabularyPlan Plan(const std::vector<std::string>& source_tokens) {
    ChooseTokens(source_tokens);
    const int tokens = static_cast<int>(plan_.tokens.size()),
              multiple = std::max(1, setting_.pad_to_multiple_of);
    plan_.rows = (tokens + multiple - 1) / multiple * multiple;
    FindOwnRows();
    for (std::size_t m = 0; m < models_.size(); ++m) {
      plan_.origins.emplace_back();
      for (std::size_t id = 0; id < plan_.tokens.size(); ++id) plan_.origins[m].push_back(OriginOf(m, id));
      plan_.origins[m].resize(static_cast<std::size_t>(plan_.rows), {.rule = Rule::kPadding});
    }
    for (const TokenOverride& override : setting_.tokens) Apply(override);
    problems_.ThrowIfAny("the tokenizer of the config");
    Count();
    return std::move(plan_);
  }

 private:
  std::size_t Leader() const { return base_ >= 0 ? static_cast<std::size_t>(base_) : 0; }

  void ChooseTokens(const std::vector<std::string>& source_tokens) {
    if (setting_.source == TokenizerSetting::Source::kModel) {
      plan_.tokens = source_tokens;
      return;
    }
    plan_.tokens = kept_[Leader()];
    if (setting_.source == TokenizerSetting::Source::kBase) return;
    Ids seen = ids_[Leader()];
    for (const std::vector<std::string>& tokens : kept_)
      for (const std::string& token : tokens)
        if (!token.empty() && seen.emplace(token, 0).second) plan_.tokens.push_back(token);
  }

  void FindOwnRows() {
    for (std::size_t m = 0; m < models_.size(); ++m) {
      std::vector<int> rows;
      for (const std::string& token : plan_.tokens) rows.push_back(Find(ids_[m], token));
      // Rows between the tokens, and tokens that are there twice, keep their places in the vocabulary that
      // the result takes over.
      if (setting_.source != TokenizerSetting::Source::kModel && m == Leader())
        for (std::size_t id = 0; id < kept_[m].size(); ++id) rows[id] = static_cast<int>(id);
      plan_.own_rows.push_back(std::move(rows));
    }
  }

  RowOrigin OriginOf(std::size_t model, std::size_t id) const {
    if (const int row = plan_.own_rows[model][id]; row >= 0)
      return {.rule = Rule::kOwn, .model = static_cast<int>(model), .row = row};
    int owners = 0;
    RowOrigin origin{.rule = Rule::kOnlyOwner};
    for (std::size_t m = 0; m < models_.size(); ++m)
      if (const int row = plan_.own_rows[m][id]; row >= 0 && ++owners == 1) {
        origin.model = static_cast<int>(m);
        origin.row = row;
      }
    if (owners == 1) return origin;
    if (owners == 0) return {.rule = Rule::kZero};
    if (base_ >= 0 && plan_.own_rows[Leader()][id] >= 0)
      return {.rule = Rule::kBase, .model = base_, .row = plan_.own_rows[Leader()][id]};
    return {.rule = Rule::kMean};
  }

  void Apply(const TokenOverride& override) {
    const std::string path = fmt::format("tokenizer.tokens[\"{}\"]", override.token);
    const auto token = std::find(plan_.tokens.begin(), plan_.tokens.end(), override.token);
    if (token == plan_.tokens.end()) {
      const auto nearest = NearestName(override.token, plan_.tokens);
      return problems_.Add(path, "the result has no such token" +
                                     (nearest ? fmt::format("; did you mean \"{}\"?", *nearest) : ""));
    }
    const std::optional<RowOrigin> origin = Resolve(override, path);
    const auto id = static_cast<std::size_t>(token - plan_.tokens.begin());
    if (!origin) return;
    for (std::size_t m = 0; m < models_.size(); ++m)
      if (override.force || plan_.own_rows[m][id] < 0) plan_.origins[m][id] = *origin;
  }

  /// Nothing, noted, if what it names is not there.
  std::optional<RowOrigin> Resolve(const TokenOverride& override, const std::string& path) {
    if (override.kind == TokenOverride::Kind::kZero) return RowOrigin{.rule = Rule::kOverride};
    const auto model = std::find_if(models_.begin(), models_.end(), [&](const VocabularyInput& input) {
      return input.name == override.model;
    });
    if (model == models_.end()) {
      problems_.Add(path, fmt::format("{} is not one of the models that are merged", override.model));
      return std::nullopt;
    }
    const auto index = static_cast<std::size_t>(model - models_.begin());
    const bool is_other = override.kind == TokenOverride::Kind::kModelToken;
    const bool has_id = is_other && override.source_token.empty();
    const std::string& text = is_other ? override.source_token : override.token;
    const int row = has_id ? override.source_id : Find(ids_[index], text);
    if (row >= 0 && row < model->rows)
      return RowOrigin{.rule = Rule::kOverride, .model = static_cast<int>(index), .row = row};
    problems_.Add(path,
                  has_id ? fmt::format("{} has the rows [0, {}), and not {}", model->name, model->rows, row)
                         : fmt::format("{} has no token \"{}\"", model->name, text));
    return std::nullopt;
  }

  void Count() {
    const Ids result = IdsOf(plan_.tokens);
    for (std::size_t m = 0; m < models_.size(); ++m) {
      VocabularyCounts counts;
      for (const RowOrigin& origin : plan_.origins[m]) ++CounterOf(origin.rule, counts);
      for (const std::string& token : kept_[m]) counts.dropped += !token.empty() && !result.contains(token);
      plan_.counts.push_back(counts);
    }
    for (std::size_t id = 0; id < plan_.tokens.size(); ++id) {
      plan_.shared += std::all_of(plan_.own_rows.begin(), plan_.own_rows.end(),
                                  [&](const std::vector<int>& rows) { return rows[id] >= 0; });
      plan_.added += plan_.own_rows[Leader()][id] < 0;
    }
  }

  static int& CounterOf(Rule rule, VocabularyCounts& counts) {
    switch (rule) {
      case Rule::kOwn:
        return counts.own;
      case Rule::kOnlyOwner:
        return counts.only_owner;
      case Rule::kBase:
        return counts.base;
      case Rule::kMean:
        return counts.mean;
      case Rule::kOverride:
        return counts.overridden;
      case Rule::kPadding:
        return counts.padding;
      case Rule::kZero:
        break;
    }
    return counts.zero;
  }

  const TokenizerSetting& setting_;
  const std::vector<VocabularyInput>& models_;
  const int base_;
  std::vector<std::vector<std::string>> kept_;  // [models] the tokens that have a row
  std::vector<Ids> ids_;                        // [models] of those
  VocabularyPlan plan_;
  ConfigProblems problems_;
};

}  // namespace

VocabularyPlan PlanVocabulary(const TokenizerSetting& setting, const std::vector<VocabularyInput>& models,
                              int base, const std::vector<std::string>& source_tokens) {
  FORGE_CHECK(setting.source != TokenizerSetting::Source::kBase || base >= 0);
  return Planner(setting, models, base).Plan(source_tokens);
}

}  // namespace forge::merge
