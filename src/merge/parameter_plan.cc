// SPDX-License-Identifier: Apache-2.0
#include "merge/parameter_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace forge::merge {
namespace {

/// Weights whose sum is this small a part of their magnitudes cancel out but for rounding.
constexpr double kCancelled = 1e-6;

/// Whether the method divides by the sum of the weights as the flags of this tensor say. The methods of task
/// arithmetic divide by 1 where it is zero.
bool DividesByTheSum(const TensorTask& task) {
  const std::string& method = task.method->name;
  return method == "nuslerp" || (method == "linear" && task.parameters.Get("normalize") != 0) ||
         (method == "multislerp" && task.parameters.Get("normalize_weights") != 0);
}

}  // namespace

void Tally::Add(const std::string& kind, std::string first_line) {
  for (Finding& finding : findings_)
    if (finding.kind == kind) {
      ++finding.more;
      return;
    }
  findings_.push_back({.kind = kind, .line = std::move(first_line)});
}

std::vector<std::string> Tally::Lines() const {
  std::vector<std::string> lines;
  for (const Finding& finding : findings_)
    lines.push_back(finding.more == 0 ? finding.line
                                      : fmt::format("{} (and {} more tensor{})", finding.line, finding.more,
                                                    finding.more == 1 ? "" : "s"));
  return lines;
}

void ParameterPlan::Resolve(const SlicePlan& slice, double t, TensorTask& task) {
  task.parameters.of_source.resize(task.sources.size());
  for (const ParameterRule& rule : task.method->parameters) {
    if (!rule.per_model) {
      task.parameters.shared[rule.name] = Find(rule, nullptr, *slice.config, task.name, t);
      continue;
    }
    for (std::size_t i = 0; i < task.sources.size(); ++i)
      if (static_cast<int>(i) != task.base)
        task.parameters.of_source[i][rule.name] =
            Find(rule, &slice.config->sources[i], *slice.config, task.sources[i].tensor, t);
  }
  Check(*slice.config, task);
}

double ParameterPlan::Find(const ParameterRule& rule, const SourceConfig* source, const SliceConfig& slice,
                           const std::string& tensor, double t) {
  const auto value = Lookup(rule.name,
                            {source != nullptr ? &source->parameters : nullptr, &slice.parameters,
                             &config_.module_parameters, &config_.parameters},
                            tensor, t);
  if (value) return *value;
  if (rule.default_value) return *rule.default_value;
  const std::string model = source != nullptr ? source->model : "";
  missing_.Add(model + "\n" + rule.name, fmt::format("there is no {}{} for {}", rule.name,
                                                     model.empty() ? "" : " of " + model, tensor));
  // A base that `models:` added has no place of its own in the text.
  const bool has_place = source != nullptr && !source->path.empty();
  std::string fix = fmt::format("add \"{}:\" to the parameters of {}", rule.name,
                                has_place ? fmt::format("{} ({})", source->path, model) : "the merge");
  if (std::find(fixes_.begin(), fixes_.end(), fix) == fixes_.end()) fixes_.push_back(std::move(fix));
  return 0;
}

void ParameterPlan::Check(const SliceConfig& slice, const TensorTask& task) {
  if (!missing_.empty()) return;
  if (DividesByTheSum(task)) CheckSum(slice, task);
  if (task.method->Find("epsilon") != nullptr && task.method->Find("epsilon")->per_model)
    CheckDella(slice, task);
  if (task.method->name == "slerp")
    if (const double t = task.parameters.Get("t"); t < 0 || t > 1)
      notes_.Add("t", fmt::format("t is {:g} for {}: slerp goes beyond the two models", t, task.name));
}

void ParameterPlan::CheckSum(const SliceConfig& slice, const TensorTask& task) {
  double sum = 0, magnitude = 0;
  std::vector<std::string> terms;
  for (std::size_t i = 0; i < task.sources.size(); ++i) {
    if (static_cast<int>(i) == task.base) continue;
    const double weight = task.parameters.Get("weight", i);
    sum += weight;
    magnitude += std::fabs(weight);
    terms.push_back(fmt::format("{:g} ({})", weight, slice.sources[i].model));
  }
  if (std::fabs(sum) > kCancelled * magnitude) return;
  wrong_.Add("sum", fmt::format("the weights for {} sum to zero, by which {} divides: {}", task.name,
                                task.method->name, fmt::join(terms, ", ")));
}

void ParameterPlan::CheckDella(const SliceConfig& slice, const TensorTask& task) {
  for (std::size_t i = 0; i < task.sources.size(); ++i) {
    if (static_cast<int>(i) == task.base) continue;
    const double density = task.parameters.Get("density", i), epsilon = task.parameters.Get("epsilon", i);
    if (density <= 0 || density >= 1 || (density - epsilon > 0 && density + epsilon < 1)) continue;
    wrong_.Add(
        slice.sources[i].model,
        fmt::format("{} has density {:g} and epsilon {:g} for {}: density - epsilon must be above 0 and "
                    "density + epsilon below 1; set epsilon below {:g}, or density to 1",
                    slice.sources[i].model, density, epsilon, task.name, std::min(density, 1 - density)));
  }
}

void ParameterPlan::ThrowIfWrong() const {
  if (!missing_.empty())
    throw Error({.what = "cannot merge as " + config_.source + " says",
                 .why = fmt::format("{}", fmt::join(missing_.Lines(), "; ")),
                 .fix = fmt::format("{}", fmt::join(fixes_, "; "))});
  if (!wrong_.empty())
    throw Error({.what = "cannot merge as " + config_.source + " says",
                 .why = fmt::format("{}", fmt::join(wrong_.Lines(), "; ")),
                 .fix = "change these parameters"});
}

}  // namespace forge::merge
