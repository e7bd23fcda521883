// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/statistics.h"
#include "io/json_file.h"

namespace forge::cli {

/// One number that forge eval gives.
struct EvalRow {
  std::string model, domain;  // the task, or one domain of a task of the pipeline
  std::string metric, filter;
  int n = 0;
  double value = 0;
  std::optional<eval::Interval> interval;
  std::optional<double> unparsable;
  io::Json details = io::Json::object();  // fields of the JSON result that the table does not show
};

/// A table with a line for each row.
std::string EvalTable(const std::vector<EvalRow>& rows);
io::Json EvalJson(const EvalRow& row);

}  // namespace forge::cli
