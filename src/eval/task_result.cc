// SPDX-License-Identifier: Apache-2.0
#include "eval/task_result.h"

namespace forge::eval {

io::Json TaskResult::ToJson() const {
  io::Json json{{"task", task},
                {"split", split},
                {"n", n},
                {"num_fewshot", num_fewshot},
                {"data", {{"path", data_path}, {"sha256", data_sha256}}},
                {"prompt_sha256", prompt_sha256},
                {"seconds", seconds},
                {"tokens_per_second", tokens_per_second},
                {"cut_items", cut_items},
                {"metrics", io::Json::array()}};
  for (const MetricResult& metric : metrics) {
    io::Json entry{{"metric", metric.metric}, {"filter", metric.filter}, {"value", metric.value}};
    if (metric.interval) entry["ci"] = {metric.interval->low, metric.interval->high};
    if (metric.unparsable) entry["unparsable"] = *metric.unparsable;
    json["metrics"].push_back(std::move(entry));
  }
  return json;
}

TaskResult TaskResult::FromJson(const io::Json& json) {
  TaskResult result{.task = json.at("task"),
                    .split = json.at("split"),
                    .n = json.at("n"),
                    .num_fewshot = json.at("num_fewshot"),
                    .metrics = {},
                    .data_path = json.at("data").at("path"),
                    .data_sha256 = json.at("data").at("sha256"),
                    .prompt_sha256 = json.at("prompt_sha256"),
                    .seconds = json.at("seconds"),
                    .tokens_per_second = json.at("tokens_per_second"),
                    .cut_items = json.at("cut_items"),
                    .items = {}};
  for (const io::Json& entry : json.at("metrics")) {
    MetricResult metric{
        .metric = entry.at("metric"), .filter = entry.at("filter"), .value = entry.at("value")};
    if (entry.contains("ci")) metric.interval = {entry.at("ci").at(0), entry.at("ci").at(1)};
    if (entry.contains("unparsable")) metric.unparsable = entry.at("unparsable");
    result.metrics.push_back(std::move(metric));
  }
  return result;
}

std::string TaskResult::ItemLines() const {
  std::string lines;
  for (const io::Json& item : items)
    lines += item.dump(-1, ' ', false, io::Json::error_handler_t::replace) +
             "\n";  // a text may end in half a character
  return lines;
}

}  // namespace forge::eval
