// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config_field.h"

namespace forge::cli {

struct EvalConfig {
  std::vector<std::string> tasks{"starter"};
  std::string split;
  int limit = 0;
  int few_shot = -1;
  std::uint64_t seed = 1;
  bool apply_chat_template = false;
  std::string data;
  std::string cache = "output/eval";
  bool fresh = false;
  bool allow_code_execution = false;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("tasks", tasks, AnyValue{},
          "Built-in tasks (--list-tasks), task files (.yaml, .json; docs/evaluation.md), starter, "
          "data:FOLDER, or a "
          "JSONL file of {\"domain\", \"prompt\", \"completion\"} lines, scored by likelihood.");
    visit("split", split, AnyValue{},
          "Which items: search, selection or test of starter, data: and JSONL; a split of the task file "
          "otherwise. "
          "Left out: test, or what the task file measures.");
    visit("limit", limit, InRange{0, 1e9},
          "The first so many items of each task at most; 0: all, and of starter, data: and JSONL as many as "
          "the "
          "stages use (100, 150, 500).");
    visit("few_shot", few_shot, InRange{-1, 1000},
          "Examples before each question; -1: as many as the task file says.");
    visit("seed", seed, AnyValue{}, "Of the draw of the examples; the same seed gives the same questions.");
    visit("apply_chat_template", apply_chat_template, AnyValue{},
          "Ask as a user's turn in the model's chat template.");
    visit("data", data, AnyValue{},
          "Folder with the data of the tasks; left out: FORGE_DATA, or else data and ../shared/data/eval.");
    visit("cache", cache, AnyValue{},
          "Folder that keeps each result and its log, by model, task and settings; the same question is not "
          "measured "
          "twice.");
    visit("fresh", fresh, AnyValue{}, "Measure again what the cache has.");
    visit("allow_code_execution", allow_code_execution, AnyValue{},
          "Run programs that the model writes (humaneval, mbpp), in a sandbox without network.");
  }
};

}  // namespace forge::cli
