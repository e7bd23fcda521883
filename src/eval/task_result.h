// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/statistics.h"
#include "io/json_file.h"

namespace forge::eval {

/// One number of a task.
struct MetricResult {
  std::string metric;
  std::string filter;  // how answers were extracted; "none" where there is nothing to extract
  double value = 0;
  std::optional<Interval> interval;  // 95 %: Wilson for shares, bootstrap over items for perplexities
  std::optional<double> unparsable;  // share of the texts in which the filter found no answer
};

/// What was measured, with what is needed to say whether two results can be compared.
struct TaskResult {
  std::string task, split;
  int n = 0, num_fewshot = 0;
  std::vector<MetricResult> metrics;
  std::string data_path, data_sha256;
  std::string prompt_sha256;  // PromptHash
  double seconds = 0, tokens_per_second = 0;
  int cut_items = 0;            // whose beginning did not fit into the model's positions
  std::vector<io::Json> items;  // the log: one object for each item

  /// Everything but the items.
  io::Json ToJson() const;
  /// Of ToJson. Throws nlohmann's exception for what is none.
  static TaskResult FromJson(const io::Json& json);
  /// The items as JSON lines.
  std::string ItemLines() const;
};

}  // namespace forge::eval
