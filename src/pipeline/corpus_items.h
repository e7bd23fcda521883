// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/item.h"
#include "pipeline/tasks.h"

namespace forge::pipeline {

/// Whether `spec` names a data set of plain text that `forge data pull` writes: wikitext, wikitext103,
/// openwebtext.
bool IsCorpus(const std::string& spec);

/// The corpus as one domain, scored by negative log-likelihood: pieces of about 1600 bytes as in
/// text_items.h, from <data>/NAME/SPLIT.jsonl, lines of {"text"}; <data> is $FORGE_DATA, else `data`. The
/// files are read as far as the sizes need. With a test.jsonl, search comes from train.jsonl, selection from
/// validation.jsonl and test from test.jsonl; without one, all come from train.jsonl by SplitOf. Throws
/// Error(kInput), naming the command that fetches it, where a file is missing, and for too few pieces.
eval::DomainItems LoadCorpus(const std::string& name, const TaskSizes& sizes);

/// The first `count` pieces of train.jsonl that LoadCorpus does not take for selection or test.
std::vector<eval::Item> LoadCorpusTraining(const std::string& name, std::size_t count);

/// Cuts a text that comes in parts into pieces as ReadTextItems does, without holding more than one.
class TextPieces {
 public:
  explicit TextPieces(std::function<void(eval::Item)> take) : take_(std::move(take)) {}
  void Add(const std::string& part);
  void End();  // what is left, if it is long enough

 private:
  void Take(bool is_whole);

  std::function<void(eval::Item)> take_;
  std::string text_;
};

}  // namespace forge::pipeline
