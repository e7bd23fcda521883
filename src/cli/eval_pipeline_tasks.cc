// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/eval_tasks.h"
#include "eval/evaluator.h"
#include "eval/starter_items.h"
#include "eval/statistics.h"
#include "pipeline/tasks.h"

namespace forge::cli {
namespace {

constexpr std::uint64_t kDirectSeed = 1;  // of the items, not of a training
constexpr int kDirectOperations = 3;
constexpr std::size_t kItemsPerStep = 16;  // progress and Ctrl-C between steps, for scoring by likelihood

eval::Split ParseSplit(const std::string& word) {
  if (word.empty() || word == "test") return eval::Split::kTest;
  if (word == "search") return eval::Split::kSearch;
  if (word == "selection") return eval::Split::kSelection;
  throw Error({.kind = ErrorKind::kUsage,
               .what = "cannot use --split " + word,
               .why = "starter, data: and JSONL files have search, selection and test",
               .fix = "give one of these"});
}

std::vector<eval::DomainItems> Domains(const std::string& spec, eval::Split split, int limit) {
  pipeline::TaskSizes sizes;
  int& count = split == eval::Split::kTest     ? sizes.test
               : split == eval::Split::kSearch ? sizes.search
                                               : sizes.selection;
  if (limit > 0) count = limit;
  std::vector<eval::DomainItems> domains = pipeline::LoadTasks(spec, sizes);
  if (spec == "starter") {  // what the reasoning stage works on
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

EvalRow Measure(EvalModel& model, const eval::DomainItems& domain, eval::Split split, Terminal& terminal) {
  const RunnableModel& loaded = model.Loaded();
  const std::vector<eval::Item>& items = domain.Of(split);
  const bool exact = domain.metric == eval::Metric::kExactMatch;
  EvalRow row{.model = model.name(),
              .domain = domain.name,
              .metric = exact ? "exact_match" : "nll",
              .n = static_cast<int>(items.size()),
              .details = {{"split", eval::Name(split)}}};
  const std::size_t step =
      exact ? items.size() : kItemsPerStep;  // the longest answer of a domain sets the limit for all
  std::vector<double> scores;
  for (std::size_t first = 0; first < items.size(); first += step) {
    if (terminal.stop().stop_requested())
      throw Error({.kind = ErrorKind::kInterrupted,
                   .what = "stopped on request",
                   .why = fmt::format("{} of {} items of {} were measured", first, items.size(), domain.name),
                   .fix = "run the same command again"});
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(first);
    const std::vector<eval::Item> part(
        begin, begin + static_cast<std::ptrdiff_t>(std::min(step, items.size() - first)));
    for (const double score : eval::ScoreItems(*loaded.model, *loaded.tokenizer, part, domain.metric))
      scores.push_back(exact ? score : -score);
    terminal.Progress(model.name() + " " + domain.name, static_cast<std::int64_t>(scores.size()), row.n,
                      "items");
  }
  row.value = eval::Mean(scores);
  row.interval = {row.value, row.value};
  if (exact)
    row.interval =
        eval::WilsonInterval(static_cast<int>(std::count(scores.begin(), scores.end(), 1.0)), row.n);
  else if (const auto drawn =
               eval::Bootstrap(row.n, 1, [&](std::span<const int> indices) -> std::optional<double> {
                 double sum = 0;
                 for (const int index : indices) sum += scores[static_cast<std::size_t>(index)];
                 return sum / static_cast<double>(indices.size());
               }))
    row.interval = *drawn;
  return row;
}

}  // namespace

bool IsPipelineTask(const std::string& spec) {
  return spec == "starter" || spec.starts_with("data:") || spec.ends_with(".jsonl");
}

std::vector<EvalRow> MeasurePipelineTask(const std::string& spec, const EvalConfig& config, EvalModel& model,
                                         Terminal& terminal) {
  const eval::Split split = ParseSplit(config.split);
  std::vector<EvalRow> rows;
  for (const eval::DomainItems& domain : Domains(spec, split, config.limit))
    rows.push_back(Measure(model, domain, split, terminal));
  return rows;
}

}  // namespace forge::cli
