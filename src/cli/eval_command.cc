// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "eval/evaluator.h"
#include "eval/starter_items.h"
#include "eval/statistics.h"
#include "pipeline/tasks.h"

namespace forge::cli {
namespace {

constexpr std::uint64_t kDirectSeed = 1;  // of the items, not of a training
constexpr int kDirectOperations = 3;
constexpr std::size_t kItemsPerStep = 16;  // progress and Ctrl-C between steps, for scoring by likelihood

struct Row {
  std::string model, domain;
  eval::Metric metric;
  int n;
  double value;  // accuracy, or mean nats per token
  eval::Interval interval;
};

std::string_view MetricName(eval::Metric metric) {
  return metric == eval::Metric::kExactMatch ? "exact_match" : "nll";
}

class EvalCommand : public Command {
 public:
  std::string Name() const override { return "eval"; }
  std::string Summary() const override { return "Measure models on tasks, with intervals."; }
  std::string Example() const override {
    return "forge eval models/starter/base models/starter/math --tasks starter --items 500";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositionals("MODEL", names_, "Model folders or GGUF files.");
    flags.AddText(
        "--tasks", tasks_,
        "starter, or a JSONL file of {\"domain\", \"prompt\", \"completion\"} lines, scored by likelihood.");
    flags.AddWord("--split", split_, {"search", "selection", "test"}, "Which items.");
    flags.AddInteger("--items", items_,
                     "Items of each domain at most; 0: as the stages use (100, 150, 500).");
    model_.AddTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const eval::Split split = split_ == "test"     ? eval::Split::kTest
                              : split_ == "search" ? eval::Split::kSearch
                                                   : eval::Split::kSelection;
    const std::vector<eval::DomainItems> domains = Domains(split);
    std::vector<Row> rows;
    for (const std::string& name : names_) {
      const RunnableModel model = model_.LoadToRun(name);
      for (const eval::DomainItems& domain : domains)
        rows.push_back(Measure(name, model, domain, split, terminal));
    }
    terminal.Print(Text(rows));
    io::Json json = {{"tasks", tasks_}, {"split", split_}, {"results", io::Json::array()}};
    for (const Row& row : rows)
      json["results"].push_back({{"model", row.model},
                                 {"domain", row.domain},
                                 {"metric", MetricName(row.metric)},
                                 {"n", row.n},
                                 {"value", row.value},
                                 {"ci", {row.interval.low, row.interval.high}}});
    terminal.PrintJson(json);
    return 0;
  }

 private:
  std::vector<eval::DomainItems> Domains(eval::Split split) const {
    pipeline::TaskSizes sizes;
    int& count = split == eval::Split::kTest     ? sizes.test
                 : split == eval::Split::kSearch ? sizes.search
                                                 : sizes.selection;
    if (items_ > 0) count = items_;
    std::vector<eval::DomainItems> domains = pipeline::LoadTasks(tasks_, sizes);
    if (tasks_ == "starter") {  // what the reasoning stage works on
      eval::DomainItems direct{.name = "direct", .search = {}, .selection = {}, .test = {}};
      (split == eval::Split::kTest     ? direct.test
       : split == eval::Split::kSearch ? direct.search
                                       : direct.selection) =
          eval::StarterItems(eval::StarterDomain::kDirect, split, kDirectSeed, count,
                             eval::Exactly(kDirectOperations));
      domains.push_back(std::move(direct));
    }
    return domains;
  }

  static Row Measure(const std::string& name, const RunnableModel& model, const eval::DomainItems& domain,
                     eval::Split split, Terminal& terminal) {
    const std::vector<eval::Item>& items = domain.Of(split);
    Row row{.model = name,
            .domain = domain.name,
            .metric = domain.metric,
            .n = static_cast<int>(items.size()),
            .value = 0,
            .interval = {}};
    const bool exact = domain.metric == eval::Metric::kExactMatch;
    const std::size_t step =
        exact ? items.size() : kItemsPerStep;  // the longest answer of a domain sets the limit for all
    std::vector<double> scores;
    for (std::size_t first = 0; first < items.size(); first += step) {
      if (terminal.stop().stop_requested())
        throw Error(
            {.kind = ErrorKind::kInterrupted,
             .what = "stopped on request",
             .why = fmt::format("{} of {} items of {} were measured", first, items.size(), domain.name),
             .fix = "run the same command again"});
      const auto begin = items.begin() + static_cast<std::ptrdiff_t>(first);
      const std::vector<eval::Item> part(
          begin, begin + static_cast<std::ptrdiff_t>(std::min(step, items.size() - first)));
      for (const double score : eval::ScoreItems(*model.model, *model.tokenizer, part, domain.metric))
        scores.push_back(exact ? score : -score);
      terminal.Progress(name + " " + domain.name, static_cast<std::int64_t>(scores.size()), row.n, "items");
    }
    row.value = eval::Mean(scores);
    if (exact) {
      row.interval =
          eval::WilsonInterval(static_cast<int>(std::count(scores.begin(), scores.end(), 1.0)), row.n);
    } else {
      row.interval = {row.value, row.value};
      const auto drawn =
          eval::Bootstrap(row.n, 1, [&](std::span<const int> indices) -> std::optional<double> {
            double sum = 0;
            for (const int index : indices) sum += scores[static_cast<std::size_t>(index)];
            return sum / static_cast<double>(indices.size());
          });
      if (drawn) row.interval = *drawn;
    }
    return row;
  }

  static std::string Text(const std::vector<Row>& rows) {
    std::size_t width = 5;
    for (const Row& row : rows) width = std::max(width, row.model.size());
    std::string text = fmt::format("{:<{}}  {:<12}{:<13}{:>8}  {:<18}{:>6}\n", "model", width, "domain",
                                   "metric", "value", "95 % interval", "n");
    for (const Row& row : rows)
      text += fmt::format("{:<{}}  {:<12}{:<13}{:>8.3f}  {:<18}{:>6}\n", row.model, width, row.domain,
                          MetricName(row.metric), row.value,
                          fmt::format("[{:.3f}, {:.3f}]", row.interval.low, row.interval.high), row.n);
    return text;
  }

  std::vector<std::string> names_;
  std::string tasks_ = "starter", split_ = "test";
  int items_ = 0;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalCommand() { return std::make_unique<EvalCommand>(); }

}  // namespace forge::cli
