// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/json_file.h"
#include "merge/merge_plan.h"
#include "model/weight_source.h"
#include "pipeline/chat_templates.h"
#include "pipeline/merge_tokenizers.h"
#include "pipeline/merge_vocabulary.h"

namespace forge::pipeline {

/// Finds the path of a model named in a config.
using ResolveName = std::function<std::filesystem::path(const std::string&)>;

/// The models of a merge, opened: where they are, their weights, with one vocabulary where the config asks
/// for one, and what tokenizer and chat template the result has.
class MergeModels {
 public:
  /// Opens ModelsOf(config). Throws Error(kInput) for models that are not there or cannot be read, and what
  /// MergeVocabulary and ChooseChatTemplate throw.
  MergeModels(const merge::MergeConfig& config, const ResolveName& resolve);
  MergeModels(const MergeModels&) = delete;
  MergeModels& operator=(const MergeModels&) = delete;

  const std::vector<std::filesystem::path>& paths() const { return paths_; }
  /// What is merged: what MakePlan takes.
  const std::vector<std::unique_ptr<model::WeightSource>>& sources() const {
    return vocabulary_ ? remapped_ : opened_;
  }

  /// Adds to a plan of these models the special ids of the result and the notes on its tokenizer.
  void Complete(merge::MergePlan& plan) const;
  /// MergeVocabulary::Describe; null where the vocabularies stay as they are.
  io::Json DescribeVocabulary() const { return vocabulary_ ? vocabulary_->Describe() : io::Json(nullptr); }
  /// Where the chat template of the result is from; null if it has none.
  io::Json DescribeChatTemplate() const;
  /// Writes the tokenizer's files, those of a model byte for byte where nothing changed, also if forge cannot
  /// read them; none if the model that they would come from has none, or an unreadable one in a GGUF file.
  void WriteTokenizer(const std::filesystem::path& folder, int max_position_embeddings) const;

 private:
  void MakeVocabulary(const merge::MergeConfig& config, const ResolveName& resolve);
  /// The model whose tokenizer the result has.
  const ModelTokenizer& owner() const { return vocabulary_ ? vocabulary_->owner() : tokenizers_[leader_]; }

  std::vector<std::filesystem::path> paths_;
  std::vector<std::unique_ptr<model::WeightSource>> opened_;
  std::vector<ModelTokenizer> tokenizers_;
  std::size_t leader_ = 0;  // the base; without one the first model
  std::optional<MergeVocabulary> vocabulary_;
  std::vector<std::unique_ptr<model::WeightSource>> remapped_;  // opened_ with that vocabulary
  ChatTemplateChoice chat_template_;
};

}  // namespace forge::pipeline
