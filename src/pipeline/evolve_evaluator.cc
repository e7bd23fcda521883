// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_evaluator.h"

#include <fmt/format.h>

#include <chrono>
#include <numeric>

#include "base/error.h"
#include "compress/group_ternary.h"
#include "eval/evaluator.h"
#include "runtime/native_model.h"

namespace forge::pipeline {
namespace {

constexpr std::int64_t kTernaryGroup = 64;

/// In place, by the group optimum. A linear whose rows are no multiple of the group is cut into smaller ones.
void RoundToTernary(merge::MergedModel& model) {
  for (const model::TensorSpec& spec : model::ListTensors(model.config)) {
    if (!model::IsLinear(spec)) continue;
    std::vector<float>& values = model.weights.at(spec.name).values;
    const std::int64_t group = std::gcd(spec.shape[1], kTernaryGroup);
    compress::TernarizeValues(values.data(), spec.shape[0], spec.shape[1], static_cast<int>(group), {},
                              values.data());
  }
}

std::vector<eval::Item> ItemsOf(const std::vector<eval::DomainItems>& domains, std::size_t domain,
                                const Measure& measure) {
  const std::vector<eval::Item>& items = domains[domain].Of(measure.split);
  if (!measure.order.empty() &&
      (measure.order.size() != domains.size() || measure.order[domain].size() != items.size()))
    throw Error({.what = "cannot take the items of an evaluation",
                 .why = "its order is not one of these items",
                 .fix = "give workers the same tasks as the search"});
  std::vector<eval::Item> taken;
  for (std::size_t i = measure.Begin(items.size()); i < measure.End(items.size()); ++i)
    taken.push_back(measure.order.empty() ? items[i]
                                          : items.at(static_cast<std::size_t>(measure.order[domain][i])));
  return taken;
}

}  // namespace

EvolveEvaluator::EvolveEvaluator(EvolveInputs inputs, merge::TensorStatistics* statistics)
    : identity_(std::move(inputs.identity)),
      base_(std::move(inputs.base)),
      parents_(std::move(inputs.parents)),
      sources_{&base_.config, base_.weights.get(), {}, statistics},
      domains_(std::move(inputs.domains)) {
  for (const OpenedModel& parent : parents_) sources_.parents.push_back(parent.weights.get());
}

merge::MergedModel EvolveEvaluator::Make(const ModelChoice& model) const {
  if (model.kind == ModelChoice::Kind::kRecipe) return merge::ApplyRecipe(model.recipe, sources_);
  if (model.kind == ModelChoice::Kind::kBase) return {base_.config, base_.weights->ReadAll()};
  if (model.parent >= parents_.size())
    throw Error({.what = fmt::format("cannot make parent {}", model.parent),
                 .why = fmt::format("there are {}", parents_.size()),
                 .fix = "give workers the same models as the search"});
  return {parents_[model.parent].config, parents_[model.parent].weights->ReadAll()};
}

io::Json EvolveEvaluator::Evaluate(const Evaluation& evaluation) const {
  const Measure& measure = evaluation.measure;
  merge::MergedModel model = Make(evaluation.model);
  if (measure.ternary) RoundToTernary(model);
  const auto start = std::chrono::steady_clock::now();
  runtime::NativeModel engine(model.config, model.weights);
  Scores scores;
  eval::TokenCount tokens;
  for (std::size_t d = 0; d < domains_.size(); ++d)
    scores.push_back(eval::ScoreItems(
        engine, *base_.tokenizer, ItemsOf(domains_, d, measure),
        measure.likelihood ? eval::Metric::kNegativeLogLikelihood : domains_[d].metric, &tokens));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {{"scores", scores}, {"seconds", seconds}, {"read", tokens.read}, {"written", tokens.written}};
}

}  // namespace forge::pipeline
