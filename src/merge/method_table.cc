// SPDX-License-Identifier: Apache-2.0
#include "merge/method_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/nearest_name.h"

namespace forge::merge {
namespace {

using Type = ParameterRule::Type;

constexpr double kAny = std::numeric_limits<double>::max();

ParameterRule Weight() {
  return {.name = "weight", .per_model = true, .low = -kAny, .high = kAny, .help = "Share of the model."};
}

ParameterRule Flag(std::string name, bool value, std::string help) {
  return {.name = std::move(name),
          .type = Type::kFlag,
          .default_value = value ? 1 : 0,
          .low = 0,
          .high = 1,
          .help = std::move(help)};
}

ParameterRule Int8Mask() {
  return Flag("int8_mask", false, "Accepted for mergekit's sake: it only saves memory there.");
}

ParameterRule Density() {
  return {.name = "density",
          .per_model = true,
          .default_value = 1,
          .low = 0,
          .high = 1,
          .help = "Part of the changes that is kept."};
}

/// What the eight methods of generalised task arithmetic share; `more` are those of one of them.
MethodInfo TaskArithmetic(std::string name, std::string summary, std::string source, bool normalize,
                          bool rescale, std::vector<ParameterRule> more = {}) {
  MethodInfo method{.name = std::move(name),
                    .summary = std::move(summary),
                    .source = std::move(source),
                    .family = MethodFamily::kTaskArithmetic,
                    .base = BaseRole::kRequired,
                    .parameters = {Weight(), Density()}};
  method.parameters.insert(method.parameters.end(), more.begin(), more.end());
  method.parameters.push_back(
      Flag("normalize", normalize, "Divide by the sum of the weights that took part."));
  method.parameters.push_back(
      Flag("rescale", rescale, "Bring what sparsifying left back to the sum of magnitudes before it."));
  method.parameters.push_back({.name = "lambda",
                               .default_value = 1,
                               .low = -kAny,
                               .high = kAny,
                               .help = "Multiplies the merged change."});
  method.parameters.push_back(Int8Mask());
  return method;
}

ParameterRule Gamma() {
  return {.name = "gamma",
          .per_model = true,
          .default_value = 0.01,
          .low = 0,
          .high = 1,
          .help = "Part of the changes, the largest ones, that is dropped."};
}

ParameterRule DellaEpsilon() {
  return {
      .name = "epsilon",
      .per_model = true,
      .default_value = 0.15,
      .low = 0,
      .high = 0.5,
      .help =
          "The smallest change of a row is kept with density - epsilon, the largest with density + epsilon."};
}

ParameterRule RamEpsilon() {
  return {.name = "epsilon",
          .default_value = 1e-5,
          .low = 0,
          .high = kAny,
          .help = "A change up to this size counts as none."};
}

MethodInfo Nuslerp() {
  return {.name = "nuslerp",
          .summary = "Spherical interpolation of two models by their weights, whole or by vectors.",
          .source = "mergekit",
          .family = MethodFamily::kLinearCombination,
          .base = BaseRole::kOptional,
          .min_models = 2,
          .max_models = 2,
          .parameters = {
              Weight(), Flag("nuslerp_flatten", true, "One angle for the whole tensor."),
              Flag("nuslerp_row_wise", false,
                   "Without nuslerp_flatten: an angle for each column (so in mergekit), not each row.")}};
}

MethodInfo Karcher() {
  return {.name = "karcher",
          .summary = "Riemannian mean of directions, times the mean of the lengths.",
          .source = "Karcher 1977; mergekit",
          .family = MethodFamily::kLinearCombination,
          .parameters = {{.name = "max_iter",
                          .type = Type::kInteger,
                          .default_value = 10,
                          .low = 1,
                          .high = 10'000,
                          .help = "Most steps towards the mean."},
                         {.name = "tol",
                          .default_value = 1e-5,
                          .low = 0,
                          .high = 1,
                          .help = "A step below this length is the last."}}};
}

MethodInfo Multislerp() {
  return {.name = "multislerp",
          .summary = "Weighted mean of directions, times the weighted mean of the lengths.",
          .source = "mergekit",
          .family = MethodFamily::kLinearCombination,
          .base = BaseRole::kOptional,
          .parameters = {Weight(),
                         Flag("normalize_weights", true, "Divide the weights by their sum."),
                         {.name = "eps",
                          .default_value = 1e-8,
                          .low = 0,
                          .high = 1,
                          .help = "Lengths below this count as zero."}}};
}

MethodInfo Ramplus() {
  return {.name = "ramplus_tl",
          .summary = "RAM that strengthens the changes only one model has, by how much is shared.",
          .source = "RAM+; mergekit",
          .family = MethodFamily::kElementwise,
          .base = BaseRole::kRequired,
          .parameters = {RamEpsilon(),
                         {.name = "r", .default_value = 0.1, .low = 0, .high = kAny, .help = "Strength."},
                         {.name = "alpha",
                          .default_value = 0.2,
                          .low = 0,
                          .high = kAny,
                          .help = "Most that the ratio of shared to unique changes counts."}}};
}

ParameterRule Interpolation(double low, double high, std::string help) {
  return {.name = "t", .low = low, .high = high, .help = std::move(help)};
}

std::vector<MethodInfo> MakeTable() {
  std::vector<MethodInfo> table{
      {.name = "linear",
       .summary = "Weighted mean of the weights.",
       .source = "Wortsman et al. 2022, arXiv:2203.05482",
       .family = MethodFamily::kLinearCombination,
       .parameters = {Weight(), Flag("normalize", true, "Divide by the sum of the weights.")}},
      {.name = "slerp",
       .summary = "Spherical interpolation from the base to one other model.",
       .source = "Shoemake 1985",
       .family = MethodFamily::kLinearCombination,
       .base = BaseRole::kRequired,
       .min_models = 1,
       .max_models = 1,
       .parameters = {Interpolation(-kAny, kAny, "0 is the base, 1 the other model.")}},
      Nuslerp(),
      {.name = "passthrough",
       .summary = "The tensors of one model, as they are or scaled.",
       .source = "mergekit",
       .family = MethodFamily::kLinearCombination,
       .min_models = 1,
       .max_models = 1,
       .parameters = {{.name = "scale",
                       .per_model = true,
                       .default_value = 1,
                       .low = -kAny,
                       .high = kAny,
                       .help = "Multiplies the tensor."}}},
      {.name = "model_stock",
       .summary = "Between the base and the mean of the models, by the angle between their changes.",
       .source = "Jang et al. 2024, arXiv:2403.19522",
       .family = MethodFamily::kLinearCombination,
       .base = BaseRole::kRequired,
       .min_models = 2,
       .parameters = {Flag("filter_wise", false, "One angle for each row.")}},
      Karcher(),
      Multislerp(),
      TaskArithmetic("task_arithmetic", "Adds the weighted changes to the base.",
                     "Ilharco et al. 2023, arXiv:2212.04089", false, false),
      TaskArithmetic("ties",
                     "Keeps the largest changes, elects a sign for each weight, adds those that agree.",
                     "Yadav et al. 2023, arXiv:2306.01708", true, false),
      TaskArithmetic("dare_linear", "Drops changes at random and adds the rest.",
                     "Yu et al. 2024, arXiv:2311.03099", false, true),
      TaskArithmetic("dare_ties", "Drops changes at random, then elects signs as TIES does.",
                     "Yu et al. 2024, arXiv:2311.03099", false, true),
      TaskArithmetic("breadcrumbs", "Drops the smallest and the very largest changes.",
                     "Davari and Belilovsky 2024, arXiv:2312.06795", false, false, {Gamma()}),
      TaskArithmetic("breadcrumbs_ties", "Breadcrumbs, then signs as in TIES.",
                     "Davari and Belilovsky 2024, arXiv:2312.06795", false, false, {Gamma()}),
      TaskArithmetic("della", "Drops changes at random, small ones rather than large ones; signs as in TIES.",
                     "Deep et al. 2024, arXiv:2406.11617", true, true, {DellaEpsilon()}),
      TaskArithmetic("della_linear", "DELLA without the election of signs.",
                     "Deep et al. 2024, arXiv:2406.11617", false, true, {DellaEpsilon()}),
      {.name = "sce",
       .summary = "Keeps where the models differ most, weighs them by their energy, adds those that agree.",
       .source = "Wan et al. 2024, arXiv:2408.07990",
       .family = MethodFamily::kElementwise,
       .base = BaseRole::kRequired,
       .parameters = {{.name = "select_topk",
                       .default_value = 1,
                       .low = 0,
                       .high = 1,
                       .help = "Part of the positions, those of the largest variance, that is kept."},
                      Int8Mask()}},
      {.name = "ram",
       .summary = "Adds changes that one model has in full, and the mean of those that several have.",
       .source = "RAM; mergekit",
       .family = MethodFamily::kElementwise,
       .base = BaseRole::kRequired,
       .parameters = {RamEpsilon()}},
      Ramplus(),
      {.name = "nearswap",
       .summary = "Moves the base towards the other model where both are near.",
       .source = "mergekit",
       .family = MethodFamily::kElementwise,
       .base = BaseRole::kRequired,
       .min_models = 1,
       .max_models = 1,
       .parameters = {Interpolation(0, kAny, "Distance up to which the other model's value is taken.")}},
      {.name = "arcee_fusion",
       .summary = "Takes the other model's values where they matter most.",
       .source = "Arcee; mergekit",
       .family = MethodFamily::kElementwise,
       .base = BaseRole::kRequired,
       .min_models = 1,
       .max_models = 1,
       .parameters = {}}};
  std::sort(table.begin(), table.end(),
            [](const MethodInfo& a, const MethodInfo& b) { return a.name < b.name; });
  return table;
}

}  // namespace

const ParameterRule* MethodInfo::Find(std::string_view parameter) const {
  for (const ParameterRule& rule : parameters)
    if (rule.name == parameter) return &rule;
  return nullptr;
}

const std::vector<MethodInfo>& MethodTable() {
  static const std::vector<MethodInfo> table = MakeTable();
  return table;
}

const MethodInfo* FindMethod(std::string_view name) {
  for (const MethodInfo& method : MethodTable())
    if (method.name == name) return &method;
  return nullptr;
}

const MethodInfo& GetMethod(std::string_view name, const std::string& source) {
  if (const MethodInfo* method = FindMethod(name)) return *method;
  std::vector<std::string> names;
  for (const MethodInfo& method : MethodTable()) names.push_back(method.name);
  const auto nearest = NearestName(name, names);
  throw Error({.what = "cannot merge as " + source + " says",
               .why = fmt::format("there is no merge method \"{}\"{}", name,
                                  nearest ? fmt::format("; did you mean \"{}\"?", *nearest) : ""),
               .fix = "choose one that forge merge --methods lists"});
}

}  // namespace forge::merge
