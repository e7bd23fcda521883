// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "merge/tokenizer_setting.h"

namespace forge::merge {

/// The vocabulary of one model.
struct VocabularyInput {
  std::string name;                 // as ModelsOf gives it
  std::vector<std::string> tokens;  // by id, in the spelling of the tokenizer's file; empty: no token
  int rows = 0;                     // of the embedding; tokens from there on have no row and do not count
};

/// Where one row of the result's embedding and head comes from in one model.
struct RowOrigin {
  enum class Rule {
    kOwn,        // the model has the token
    kOnlyOwner,  // it has not, and one other model has
    kBase,       // several have, and the base is one of them
    kMean,       // several have: the mean of their rows
    kZero,       // none has: zeros
    kOverride,   // as `tokens:` says; zeros if model is -1
    kPadding     // no token, only a row of pad_to_multiple_of: the mean of the model's other rows
  };
  Rule rule = Rule::kZero;
  int model = -1, row = -1;  // the row that is taken; -1 for kMean, kZero and kPadding
};

/// How many rows of one model are filled by which rule.
struct VocabularyCounts {
  int own = 0, only_owner = 0, base = 0, mean = 0, zero = 0, overridden = 0, padding = 0;
  int dropped = 0;  // tokens of the model that the result does not have
};

struct VocabularyPlan {
  std::vector<std::string> tokens;              // of the result, by id
  int rows = 0;                                 // tokens, rounded up to pad_to_multiple_of
  std::vector<std::vector<int>> own_rows;       // [models][tokens]; -1: the model does not have the token
  std::vector<std::vector<RowOrigin>> origins;  // [models][rows]
  std::vector<VocabularyCounts> counts;         // [models]
  int shared = 0;                               // tokens that all models have
  int added = 0;                                // tokens that the base (without one: the first model) lacks
};

/// Gives all models one vocabulary, as tokenizer_source and tokenizer ask for it.
///   union  the base's tokens in its order, then those that only the others have, model by model, by id
///   base   the base's; model: `source_tokens`, by id (only used then)
///   base   index of the base; -1: none, the first model then takes its place in the union
/// Throws Error(kInput) with every override that names a token or a model which is not there.
VocabularyPlan PlanVocabulary(const TokenizerSetting& setting, const std::vector<VocabularyInput>& models,
                              int base, const std::vector<std::string>& source_tokens = {});

}  // namespace forge::merge
