// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/task_data.h"
#include "eval/task_file.h"

namespace forge::eval {

/// One question of a task, ready to be asked.
struct TaskItem {
  std::size_t index = 0;             // of its document in the split
  std::string context;               // description, few-shot examples, question, gen_prefix
  std::string delimiter;             // between the context and what follows
  std::vector<std::string> choices;  // of multiple_choice
  int gold = -1;                     // index into choices; -1 where the document's answer is none of them
  std::vector<std::string> targets;  // right answers as texts; any of them counts
};

struct ItemOptions {
  int limit = 0;  // the first so many documents; 0: all
  int num_fewshot = 0;
  std::uint64_t seed = 1;  // of the draw of the examples
};

/// The questions of `data`, with examples from `examples` (the few-shot split; may be the same data, then no
/// question is its own example) or from the task file. Examples are drawn for every item by (seed, item), or
/// are the first ones where the task says first_n. Throws Error(kInput) naming the document for a template
/// that does not apply, and Error(kUsage) if there are fewer examples than asked for.
std::vector<TaskItem> MakeTaskItems(const TaskFile& task, const TaskData& data,
                                    const std::optional<TaskData>& examples, const ItemOptions& options);

/// sha256 over everything that is asked, in order: what two runs must share to be compared.
std::string PromptHash(const std::vector<TaskItem>& items);

}  // namespace forge::eval
