// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_rows.h"

#include <fmt/format.h>

#include <algorithm>

namespace forge::cli {
namespace {

std::string MetricText(const EvalRow& row) {
  return row.filter.empty() || row.filter == "none" ? row.metric : row.metric + "," + row.filter;
}

}  // namespace

std::string EvalTable(const std::vector<EvalRow>& rows) {
  std::size_t model = 5, domain = 12, metric = 13;
  bool shows_unparsable = false;
  for (const EvalRow& row : rows) {
    model = std::max(model, row.model.size());
    domain = std::max(domain, row.domain.size() + 2);
    metric = std::max(metric, MetricText(row).size() + 2);
    shows_unparsable = shows_unparsable || row.unparsable.has_value();
  }
  std::string text =
      fmt::format("{:<{}}  {:<{}}{:<{}}{:>8}  {:<18}{:>6}{}\n", "model", model, "task", domain, "metric",
                  metric, "value", "95 % interval", "n", shows_unparsable ? "  unparsable" : "");
  for (const EvalRow& row : rows) {
    const std::string interval =
        row.interval ? fmt::format("[{:.3f}, {:.3f}]", row.interval->low, row.interval->high) : "";
    text += fmt::format("{:<{}}  {:<{}}{:<{}}{:>8.3f}  {:<18}{:>6}{}\n", row.model, model, row.domain, domain,
                        MetricText(row), metric, row.value, interval, row.n,
                        row.unparsable ? fmt::format("{:>12.3f}", *row.unparsable) : "");
  }
  return text;
}

io::Json EvalJson(const EvalRow& row) {
  io::Json json = row.details;
  json.update({{"model", row.model},
               {"domain", row.domain},
               {"metric", row.metric},
               {"n", row.n},
               {"value", row.value}});
  if (row.interval) json["ci"] = {row.interval->low, row.interval->high};
  if (!row.filter.empty()) json["filter"] = row.filter;
  if (row.unparsable) json["unparsable"] = *row.unparsable;
  return json;
}

}  // namespace forge::cli
