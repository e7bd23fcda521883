// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/model_reference.h"
#include "pipeline/model_source.h"

namespace forge::pipeline {

MergeModels::MergeModels(const merge::MergeConfig& config, const ResolveName& resolve) {
  const std::vector<std::string> names = merge::ModelsOf(config);
  for (const std::string& name : names) {
    paths_.push_back(resolve(name));
    opened_.push_back(OpenWeights(paths_.back()));
    tokenizers_.push_back(ReadModelTokenizer(name, paths_.back()));
  }
  if (!config.base_model.empty())
    leader_ =
        static_cast<std::size_t>(std::find(names.begin(), names.end(), config.base_model) - names.begin());
  if (config.tokenizer) MakeVocabulary(config, resolve);
  chat_template_ = ChooseChatTemplate(config.chat_template, tokenizers_, owner(), config.source);
}

void MergeModels::MakeVocabulary(const merge::MergeConfig& config, const ResolveName& resolve) {
  const std::string& name = config.tokenizer->model;
  std::optional<ModelTokenizer> chosen;
  for (const ModelTokenizer& tokenizer : tokenizers_)
    if (tokenizer.name == name) chosen = tokenizer;
  if (!chosen && !name.empty()) chosen = ReadModelTokenizer(name, resolve(name));
  vocabulary_.emplace(MergeVocabulary::Inputs{.setting = *config.tokenizer,
                                              .tokenizers = tokenizers_,
                                              .sources = opened_,
                                              .leader = leader_,
                                              .has_base = !config.base_model.empty(),
                                              .chosen = chosen ? &*chosen : nullptr});
  remapped_ = vocabulary_->Remapped(opened_);
}

void MergeModels::Complete(merge::MergePlan& plan) const {
  const std::vector<int> planned_eos = plan.config.eos_token_ids;
  if (vocabulary_) vocabulary_->SetSpecials(remapped_, plan.config);
  if (plan.config.eos_token_ids != planned_eos) {
    // The plan knows the models' configs only, and noted that the result has the eos of the first.
    std::erase_if(plan.notes, [](const std::string& note) { return note.starts_with("eos_token_id is "); });
    plan.notes.push_back(fmt::format("eos_token_id of the result is [{}], as {} has it for its tokenizer",
                                     fmt::join(plan.config.eos_token_ids, ", "), owner().name));
  }
  const auto add = [&](const std::vector<std::string>& notes) {
    plan.notes.insert(plan.notes.end(), notes.begin(), notes.end());
  };
  if (vocabulary_) add(vocabulary_->notes());
  if (!owner().problem.empty() && !std::filesystem::is_directory(owner().base))
    add({"the result has no tokenizer: " + owner().problem});
  const std::string& from = chat_template_.from;
  const bool is_of_a_model = std::any_of(tokenizers_.begin(), tokenizers_.end(),
                                         [&](const ModelTokenizer& model) { return model.name == from; });
  add(TokenizerNotes(owner(), tokenizers_, vocabulary_.has_value(),
                     from.empty() ? "none" : (is_of_a_model ? "that of " : "") + from));
  add(chat_template_.notes);
  if (owner().data) add(TemplateNotes(chat_template_, *owner().data, plan.config.eos_token_ids));
}

io::Json MergeModels::DescribeChatTemplate() const {
  return chat_template_.from.empty() ? io::Json(nullptr) : io::Json(chat_template_.from);
}

void MergeModels::WriteTokenizer(const std::filesystem::path& folder, int max_position_embeddings) const {
  if (vocabulary_)
    vocabulary_->WriteTokenizer(folder, max_position_embeddings);
  else if (owner().data || (std::filesystem::is_directory(owner().base) && HasTokenizer(owner().base)))
    CopyTokenizer(owner().base, max_position_embeddings, folder);
  if (chat_template_.is_changed) WriteChatTemplate(folder, chat_template_.text);
}

}  // namespace forge::pipeline
