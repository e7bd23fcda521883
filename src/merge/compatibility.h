// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/model_config.h"

namespace forge::merge {

/// What a comparison looks at beside the config; whatever is not known stays empty.
struct TokenizerFacts {
  std::vector<std::string> tokens;         // by id
  std::map<std::string, int> special_ids;  // "bos", "eos", "pad"
  std::string chat_template;               // empty: none
};
struct ModelFacts {
  std::string name;
  model::ModelConfig config;
  std::string type;  // of the linears, "BF16"
  std::optional<TokenizerFacts> tokenizer;
  std::string tokenizer_error;  // why it could not be read
};

/// One way in which a model differs from the first one.
struct Difference {
  /// Forbids: the weights have different shapes or are used differently, so mixing them makes no model. Needs
  /// a decision: they can be mixed, but the merged model takes a setting, a vocabulary or a text from one of
  /// them.
  enum class Kind { kForbids, kNeedsDecision };
  Kind kind;
  std::string field;   // "hidden_size", "tokens"
  std::string text;    // what is in the one and what in the other
  std::string advice;  // what to decide, or which models to choose
};

/// Every difference between the first model and each other one: architecture, shapes, biases and norms
/// (forbid); vocabulary, special ids, RoPE base and scaling, context, norm epsilon, tied head, stored type,
/// chat template (decisions). Empty: the models can be merged as they are. Tokens are compared up to the
/// shorter list and then by length.
std::vector<Difference> CompareModels(const std::vector<ModelFacts>& models);

/// Throws Error(kInput) with all of `differences` at once, and what would make the models mergeable: for each
/// field what `fixes` says, else the difference's advice, each text once. Does nothing where there are none.
///   what  what cannot be done, for the error
void RefuseDifferences(const std::string& what, const std::vector<Difference>& differences,
                       const std::map<std::string, std::string>& fixes);

}  // namespace forge::merge
