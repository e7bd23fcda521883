// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/item.h"

namespace forge::pipeline {

struct TaskSizes {
  int search = 100, selection = 150, test = 500;
};

/// The domains that `spec` names: "starter"; "starter:shuffled", the same with the answers of each split
/// dealt out anew, a control on which no search may report a gain; a JSONL file of {"domain", "prompt",
/// "completion"} lines, a text file (text_items.h), "data:FOLDER" (real_tasks.h), or a corpus by name
/// (corpus_items.h, which has splits of its own). Items of files and folders are scored by negative
/// log-likelihood and split by the hash of their prompt (3/10 search, 3/10 selection,
/// 4/10 test). Throws Error(kInput) with file and line for what it cannot use, and for a domain with too few
/// items.
std::vector<eval::DomainItems> LoadTasks(const std::string& spec, const TaskSizes& sizes);

/// FOLDER of "data:FOLDER"; nothing for another kind of data.
std::optional<std::string> DataFolderOf(const std::string& spec);

/// The part that the item with this prompt belongs to.
eval::Split SplitOf(const std::string& prompt);

/// Texts of the same kind to train on, by domain, none of which is a selection or test item: of data:FOLDER
/// what LoadTasks leaves out, of a file the items for the search.
std::map<std::string, std::vector<eval::Item>> LoadTrainingItems(const std::string& spec);

}  // namespace forge::pipeline
