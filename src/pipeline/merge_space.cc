// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "pipeline/recipe_words.h"

namespace forge::pipeline {
namespace {

constexpr double kLowest = -0.2, kHighest = 1.6;  // of a coefficient
constexpr const char* kComponents[merge::kComponentGroups] = {"attention", "mlp", "other"};
constexpr double kTaskArithmetic[] = {0.3, 0.4, 0.5, 0.6, 0.8, 1.0};
constexpr double kNormStart = 0.6;  // task arithmetic whose sum of coefficients the inverse norms share

}  // namespace

std::string Name(MergeLevel level) {
  switch (level) {
    case MergeLevel::kModels:
      return "models";
    case MergeLevel::kComponents:
      return "components";
    case MergeLevel::kLayers:
      return "layers";
    case MergeLevel::kPaths:
      return "paths";
  }
  return "";
}

MergeSpace::MergeSpace(MergeLevel level, const Shape& shape) : level_(level), shape_(shape) {
  FORGE_CHECK(level != MergeLevel::kPaths && shape.parents >= 1 && shape.layers >= 1 &&
              shape.layer_groups >= 1);
  shape_.layer_groups = std::min(shape_.layer_groups, shape_.layers);
  for (int parent = 0; parent < shape_.parents; ++parent)
    for (int i = 0; i < coefficients_a_parent(); ++i) {
      std::string name = fmt::format("parent {}", parent + 1);
      if (level != MergeLevel::kModels) name += fmt::format(" {}", kComponents[i % merge::kComponentGroups]);
      if (level == MergeLevel::kLayers) name += fmt::format(" layers {}", i / merge::kComponentGroups + 1);
      box_.dimensions.push_back({std::move(name), kLowest, kHighest});
    }
  if (shape_.with_method) {
    box_.dimensions.push_back({"method", 0, 3});
    box_.dimensions.push_back({"density", 0.2, 1});
    box_.dimensions.push_back({"lambda", 0.5, 1.5});
  }
  if (!HasThetaGene()) return;
  const auto [low, high] = std::minmax_element(shape_.rope_thetas.begin(), shape_.rope_thetas.end());
  box_.dimensions.push_back({"log rope theta", std::log(*low), std::log(*high)});
}

MergeSpace::MergeSpace(const MergeSpace& space, std::vector<double> point, int slices)
    : level_(MergeLevel::kPaths),
      shape_(space.shape_),
      paths_(LayerPaths(shape_.parents, shape_.layers, slices)),
      merged_(std::make_shared<MergeSpace>(space)),
      merged_point_(std::move(point)) {
  box_ = paths_->box();
}

bool MergeSpace::HasThetaGene() const {
  const std::vector<double>& thetas = shape_.rope_thetas;
  return std::any_of(thetas.begin(), thetas.end(), [&](double theta) { return theta != thetas[0]; });
}

std::vector<double> MergeSpace::OtherGenes() const {
  std::vector<double> genes;
  if (shape_.with_method) genes = {0.5, 0.9, 1.0};
  if (HasThetaGene()) genes.push_back(std::log(shape_.rope_thetas[0]));
  return genes;
}

int MergeSpace::groups() const { return level_ == MergeLevel::kLayers ? shape_.layer_groups : 1; }

int MergeSpace::coefficients_a_parent() const {
  return level_ == MergeLevel::kModels ? 1 : merge::kComponentGroups * groups();
}

merge::MergeRecipe MergeSpace::ToRecipe(const std::vector<double>& point, std::uint64_t dare_seed) const {
  FORGE_CHECK(point.size() == box_.size());
  if (paths_) {
    merge::MergeRecipe recipe = merged_->ToRecipe(merged_point_, dare_seed);
    recipe.structure = merge::Structure::kDataFlow;
    recipe.layers = paths_->Decode(point);
    return recipe;
  }
  const auto parents = static_cast<std::size_t>(shape_.parents);
  merge::MergeRecipe recipe{.dare_seed = dare_seed};
  auto gene = point.begin();
  for (std::size_t parent = 0; parent < parents; ++parent, gene += coefficients_a_parent()) {
    std::vector<double>& row = recipe.coefficients.emplace_back(gene, gene + coefficients_a_parent());
    if (level_ == MergeLevel::kModels) row.assign(merge::kComponentGroups, *gene);
  }
  for (int layer = 0; layer < shape_.layers; ++layer) recipe.layers.push_back({0, layer});
  recipe.ensemble_weights.assign(parents + 1, 0.0);
  recipe.ensemble_weights[0] = 1;
  if (HasThetaGene()) recipe.rope_theta = std::stod(fmt::format("{:.7g}", std::exp(point.back())));
  if (!shape_.with_method) return recipe;
  const int method = std::min(2, static_cast<int>(gene[0]));
  if (method == 0) {  // a plain sum: nothing is trimmed
    recipe.lambda = gene[2];
    return recipe;
  }
  // TIES and DARE join the parents' own changes, each times its coefficient, instead of their sum.
  recipe.joins_parents = true;
  recipe.ensemble = method == 1 ? merge::Ensemble::kTies : merge::Ensemble::kDare;
  recipe.density = gene[1];
  recipe.lambda = gene[2];
  return recipe;
}

io::Json MergeSpace::ToJson(const std::vector<double>& point, std::uint64_t dare_seed) const {
  io::Json json = DescribeRecipe(ToRecipe(point, dare_seed)), genes = io::Json::object();
  for (std::size_t i = 0; i < point.size(); ++i) genes[box_.dimensions[i].name] = point[i];
  json["level"] = Name(level_);
  json["genome"] = {{"genes", std::move(genes)}, {"point", point}};
  return json;
}

std::vector<double> MergeSpace::Uniform(const std::vector<double>& by_parent) const {
  std::vector<double> point;
  for (const double coefficient : by_parent)
    point.insert(point.end(), static_cast<std::size_t>(coefficients_a_parent()),
                 std::clamp(coefficient, kLowest, kHighest));
  const std::vector<double> others = OtherGenes();
  point.insert(point.end(), others.begin(), others.end());
  return point;
}

std::vector<std::vector<double>> MergeSpace::StartPoints(const std::vector<double>& change_norms) const {
  const auto parents = static_cast<std::size_t>(shape_.parents);
  FORGE_CHECK(change_norms.size() == parents);
  std::vector<std::vector<double>> points;
  for (const double lambda : kTaskArithmetic) points.push_back(Uniform(std::vector<double>(parents, lambda)));
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) {  // the likeliest first
    return std::fabs(a[0] - kNormStart) < std::fabs(b[0] - kNormStart);
  });
  double inverse = 0;
  for (const double norm : change_norms) inverse += norm > 0 ? 1 / norm : 0;
  if (inverse > 0) {
    std::vector<double> by_norm;
    for (const double norm : change_norms)
      by_norm.push_back(norm > 0 ? kNormStart * static_cast<double>(parents) / norm / inverse : 0);
    points.push_back(Uniform(by_norm));
  }
  points.push_back(Uniform(std::vector<double>(parents, 1.0 / shape_.parents)));
  for (std::size_t parent = 0; parent < parents; ++parent) {
    std::vector<double> alone(parents, 0.0);
    alone[parent] = 1;
    points.push_back(Uniform(alone));
  }
  return points;
}

std::vector<double> MergeSpace::Refine(const MergeSpace& coarser, const std::vector<double>& point) const {
  FORGE_CHECK(coarser.shape_.parents == shape_.parents && coarser.shape_.with_method == shape_.with_method);
  if (paths_) return paths_->Identity();
  std::vector<double> refined;
  for (int parent = 0; parent < shape_.parents; ++parent) {
    const double* from = point.data() + parent * coarser.coefficients_a_parent();
    for (int i = 0; i < coefficients_a_parent(); ++i) {
      const int component = i % merge::kComponentGroups;
      refined.push_back(coarser.level_ == MergeLevel::kModels       ? from[0]
                        : coarser.level_ == MergeLevel::kComponents ? from[component]
                                                                    : from[i]);
    }
  }
  refined.insert(refined.end(), point.end() - static_cast<std::ptrdiff_t>(OtherGenes().size()), point.end());
  return refined;
}

}  // namespace forge::pipeline
