// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer_data.h"

namespace forge::pipeline {

/// The tokenizer of one model of a merge.
struct ModelTokenizer {
  std::string name;                         // of the model, as the config has it
  std::filesystem::path base;               // its folder or GGUF file, without adapters
  std::optional<text::TokenizerData> data;  // nothing: it has none, or one that cannot be read
  std::string problem;                      // why it cannot be read; empty: it was, or there is none
};

/// Reads the tokenizer of what ResolveModel gave. Throws nothing for one that is not there or cannot be read:
/// most merges only copy its files.
ModelTokenizer ReadModelTokenizer(const std::string& name, const std::filesystem::path& path);

/// What distinguishes the tokenizers of the models from that of the result, a sentence each: tokens that
/// differ (unless `has_one_vocabulary`, which makes that no matter), text that is cut into pieces
/// differently, bos, eos and pad by their text, chat templates, tokenizers that are missing.
///   owner          the model whose tokenizer the result has; one of `models` or not
///   chat_template  what the result's template is, for the notes: "that of A"
std::vector<std::string> TokenizerNotes(const ModelTokenizer& owner,
                                        const std::vector<ModelTokenizer>& models, bool has_one_vocabulary,
                                        const std::string& chat_template);

}  // namespace forge::pipeline
