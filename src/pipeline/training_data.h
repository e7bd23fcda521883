// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "text/tokenizer.h"
#include "train/packing.h"

namespace forge::pipeline {

struct TrainingDataOptions {
  int max_tokens = 256;        // of a document
  bool masks_prompts = true;   // a prompt is read, not learned
  std::string text_separator;  // a line between documents of a text file; empty: blank lines
};

struct TrainingData {
  std::vector<train::Document> documents;
  std::size_t left_out = 0;  // pairs that are longer than max_tokens
  std::string sha256;        // of the file
};

/// Reads what `forge train` learns from:
///   *.txt   UTF-8 text; documents lie between blank lines, or lines that are the separator
///   others  JSON lines, each {"prompt", "completion"} or {"text"}
///
/// A document is what the tokenizer puts in front of a text (bos, for models that have one), the tokens, and
/// the model's end of text. Longer texts are cut into pieces of max_tokens, of which the last has the end;
/// pairs of prompt and completion that are longer are left out. Throws Error(kInput) with file and line for
/// what cannot be used, and if nothing is left.
TrainingData ReadTrainingData(const std::filesystem::path& path, const text::Tokenizer& tokenizer,
                              const model::ModelConfig& config, const TrainingDataOptions& options);

}  // namespace forge::pipeline
