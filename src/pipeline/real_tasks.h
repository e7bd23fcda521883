// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/item.h"

namespace forge::pipeline {

struct NamedItem {
  std::string domain;
  eval::Item item;
};

enum class RealPart {
  kHeldOut,  // the tail of each file, which ../shared/data/models/smollm2-135m-specialists was not trained on
  kTraining,  // what is before it
};

/// The items of `--tasks data:FOLDER`, gold texts in the form that specialists are usually trained on:
///   math     eval/gsm8k/train.jsonl           "Question: ..\nAnswer:" -> " " + the worked solution
///   code     eval/code/mbpp.jsonl             a docstring of text and tests -> the code
///   stories  text/tinystories_train_2MiB.txt  the first sentence -> the rest, up to 120 words
/// A completion is cut at a word so that the item has at most 600 characters (about 160 tokens); items whose
/// prompt leaves less than 80 are left out. Throws Error(kInput) naming file and line.
std::vector<NamedItem> ReadRealItems(const std::filesystem::path& folder, RealPart part);

/// The held out questions of GSM8K whole: as prompts, and the worked solutions.
std::vector<eval::Item> ReadRealQuestions(const std::filesystem::path& folder);

}  // namespace forge::pipeline
