// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_vocabulary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "merge/remapped_vocabulary.h"
#include "pipeline/model_source.h"
#include "pipeline/union_tokenizer.h"
#include "text/load_tokenizer.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using merge::TokenizerSetting;
using model::WeightSource;

constexpr std::size_t kShownTokens = 3;

void CheckHasTokenizer(const ModelTokenizer& model) {
  if (model.data) return;
  throw Error(
      {.what = "cannot give the models one vocabulary",
       .why = model.name + (model.problem.empty() ? " has no tokenizer"
                                                  : " has a tokenizer forge cannot read: " + model.problem),
       .fix =
           fmt::format("put the files of its tokenizer into {}, or leave tokenizer_source and tokenizer out: "
                       "rows are then merged id by id",
                       model.base.string())});
}

/// The largest power of two up to 128 that divides the number of rows.
int PaddingOf(int rows) {
  int multiple = 1;
  while (multiple < 128 && rows % (2 * multiple) == 0) multiple *= 2;
  return multiple;
}

}  // namespace

MergeVocabulary::MergeVocabulary(const Inputs& inputs) {
  const TokenizerSetting& setting = inputs.setting;
  std::vector<merge::VocabularyInput> models;
  for (std::size_t m = 0; m < inputs.tokenizers.size(); ++m) {
    CheckHasTokenizer(inputs.tokenizers[m]);
    names_.push_back(inputs.tokenizers[m].name);
    rows_before_.push_back(inputs.sources[m]->config().vocab_size);
    models.push_back({names_[m], inputs.tokenizers[m].data->tokens, rows_before_[m]});
  }
  owner_ = inputs.tokenizers[inputs.leader];
  source_ = setting.source == TokenizerSetting::Source::kUnion ? "union" : "base";
  if (setting.source == TokenizerSetting::Source::kModel) {
    CheckHasTokenizer(*inputs.chosen);
    owner_ = *inputs.chosen;
    source_ = owner_.name;
    if (const auto found = std::find(names_.begin(), names_.end(), owner_.name); found != names_.end())
      specials_of_ = static_cast<std::size_t>(found - names_.begin());
    if (specials_of_)  // tokens beyond its embedding have no row anywhere
      owner_.data = KeepTokens(*owner_.data, static_cast<std::size_t>(rows_before_[*specials_of_]));
  }
  const std::size_t tokens_before =
      (setting.source == TokenizerSetting::Source::kModel ? *inputs.chosen : owner_).data->tokens.size();
  plan_ = merge::PlanVocabulary(setting, models, inputs.has_base ? static_cast<int>(inputs.leader) : -1,
                                owner_.data->tokens);
  if (setting.source == TokenizerSetting::Source::kUnion) {
    owner_.data = MakeUnionTokenizer(plan_, inputs.tokenizers, inputs.leader);
    never_made_ = TokensNeverMade(*owner_.data, plan_.tokens.size() - static_cast<std::size_t>(plan_.added));
  } else {
    owner_.data = KeepTokens(*owner_.data, plan_.tokens.size());
  }
  is_changed_ = owner_.data->tokens.size() != tokens_before ||
                (setting.source == TokenizerSetting::Source::kUnion && plan_.added > 0);
  AddNotes(inputs);
}

void MergeVocabulary::AddNotes(const Inputs& inputs) {
  if (!never_made_.empty())
    notes_.push_back(fmt::format(
        "{} of the {} added tokens are never made from text, the way the result's tokenizer cuts and joins "
        "it: "
        "\"{}\"{}",
        never_made_.size(), plan_.added,
        fmt::join(std::span(never_made_).first(std::min(never_made_.size(), kShownTokens)), "\", \""),
        never_made_.size() > kShownTokens ? ", ..." : ""));
  const int before = rows_before_[inputs.leader], multiple = PaddingOf(before);
  if (plan_.rows < before && inputs.setting.pad_to_multiple_of == 0 && multiple >= 8)
    notes_.push_back(
        fmt::format("the embedding has {} rows, one a token, and no longer the {} of {}; "
                    "pad_to_multiple_of: {} pads it to {}",
                    plan_.rows, before, names_[inputs.leader], multiple,
                    (plan_.rows + multiple - 1) / multiple * multiple));
  for (const merge::TokenOverride& override : inputs.setting.tokens) {
    if (override.kind == merge::TokenOverride::Kind::kZero || override.force) continue;
    const auto id = static_cast<std::size_t>(
        std::find(plan_.tokens.begin(), plan_.tokens.end(), override.token) - plan_.tokens.begin());
    if (std::all_of(plan_.own_rows.begin(), plan_.own_rows.end(),
                    [&](const std::vector<int>& rows) { return rows[id] >= 0; }))
      notes_.push_back(
          fmt::format("tokenizer.tokens[\"{}\"] has no effect: all models have the token; "
                      "force: true replaces their own rows",
                      override.token));
  }
}

std::vector<std::unique_ptr<WeightSource>> MergeVocabulary::Remapped(
    const std::vector<std::unique_ptr<WeightSource>>& sources) const {
  std::vector<const WeightSource*> models;
  for (const auto& source : sources) models.push_back(source.get());
  std::vector<std::unique_ptr<WeightSource>> remapped;
  for (std::size_t m = 0; m < models.size(); ++m)
    remapped.push_back(merge::RemapVocabulary(plan_, models, m));
  return remapped;
}

void MergeVocabulary::SetSpecials(const std::vector<std::unique_ptr<WeightSource>>& remapped,
                                  model::ModelConfig& config) const {
  if (specials_of_) {
    const model::ModelConfig& from = remapped[*specials_of_]->config();
    config.bos_token_id = from.bos_token_id;
    config.eos_token_ids = from.eos_token_ids;
    config.pad_token_id = from.pad_token_id;
  }
  const text::TokenizerData& data = tokenizer();
  if (config.bos_token_id < 0) config.bos_token_id = data.bos.value_or(-1);
  if (config.pad_token_id < 0) config.pad_token_id = data.pad.value_or(-1);
  if (config.eos_token_ids.empty() && data.eos) config.eos_token_ids = {*data.eos};
}

io::Json MergeVocabulary::Describe() const {
  io::Json models = io::Json::array();
  for (std::size_t m = 0; m < names_.size(); ++m) {
    const merge::VocabularyCounts& counts = plan_.counts[m];
    models.push_back({{"name", names_[m]},
                      {"rows_before", rows_before_[m]},
                      {"own", counts.own},
                      {"only_owner", counts.only_owner},
                      {"base", counts.base},
                      {"mean", counts.mean},
                      {"zero", counts.zero},
                      {"overridden", counts.overridden},
                      {"padding", counts.padding},
                      {"dropped", counts.dropped}});
  }
  return {{"source", source_},          {"tokens", plan_.tokens.size()}, {"rows", plan_.rows},
          {"shared", plan_.shared},     {"added", plan_.added},          {"never_made", never_made_.size()},
          {"models", std::move(models)}};
}

void MergeVocabulary::WriteTokenizer(const fs::path& folder, int max_position_embeddings) const {
  if (is_changed_)
    text::SaveTokenizer(folder, tokenizer(), max_position_embeddings);
  else
    CopyTokenizer(owner_.base, max_position_embeddings, folder);
}

}  // namespace forge::pipeline
