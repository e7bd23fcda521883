// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/json_file.h"
#include "merge/tokenizer_setting.h"
#include "merge/vocabulary.h"
#include "model/weight_source.h"
#include "pipeline/merge_tokenizers.h"

namespace forge::pipeline {

/// One vocabulary for all models of a merge, as `tokenizer_source` or `tokenizer` asks for it: whose tokens,
/// where each row comes from, and the tokenizer that the result gets.
class MergeVocabulary {
 public:
  struct Inputs {
    const merge::TokenizerSetting& setting;
    const std::vector<ModelTokenizer>& tokenizers;                     // of the models, in ModelsOf's order
    const std::vector<std::unique_ptr<model::WeightSource>>& sources;  // the same; must outlive the rows read
    std::size_t leader = 0;  // the base, or the first model where there is none
    bool has_base = false;
    const ModelTokenizer* chosen = nullptr;  // of `source: MODEL`; one of the models or another
  };
  /// Throws Error(kInput) for a model without a readable tokenizer, for overrides that name what is not
  /// there, and for a union of tokenizers that cannot be one (MakeUnionTokenizer).
  explicit MergeVocabulary(const Inputs& inputs);

  /// Each model with the rows of the one vocabulary; refers to this and to the sources.
  std::vector<std::unique_ptr<model::WeightSource>> Remapped(
      const std::vector<std::unique_ptr<model::WeightSource>>& sources) const;

  /// The model whose tokenizer the result has, or with a union extends.
  const ModelTokenizer& owner() const { return owner_; }
  /// Of the result.
  const text::TokenizerData& tokenizer() const { return *owner_.data; }

  /// Sets bos, eos and pad of the result's config, which so far has those of the config model by their text:
  /// with `source: MODEL` to those of that model, if it is one of those merged; then what is missing to those
  /// of the tokenizer.
  void SetSpecials(const std::vector<std::unique_ptr<model::WeightSource>>& remapped,
                   model::ModelConfig& config) const;

  /// {source, tokens, rows, shared, added, never_made, models: [{name, rows_before, own, only_owner, base,
  /// mean, zero, overridden, padding, dropped}]}
  io::Json Describe() const;
  const std::vector<std::string>& notes() const { return notes_; }

  /// Writes the tokenizer's files: those of the owner byte for byte where the result has the same tokens.
  void WriteTokenizer(const std::filesystem::path& folder, int max_position_embeddings) const;

 private:
  void AddNotes(const Inputs& inputs);

  merge::VocabularyPlan plan_;
  ModelTokenizer owner_;  // with the data of the result
  bool is_changed_ = false;
  std::optional<std::size_t> specials_of_;  // the merged model that `source: MODEL` names
  std::string source_;                      // "union", "base" or a model
  std::vector<std::string> names_;
  std::vector<int> rows_before_;
  std::vector<std::string> never_made_;
  std::vector<std::string> notes_;
};

}  // namespace forge::pipeline
