// SPDX-License-Identifier: Apache-2.0
#include "pipeline/lineage_recipe.h"

#include <fmt/format.h>

#include "base/error.h"
#include "merge/recipe.h"
#include "pipeline/evolve_candidates.h"

namespace forge::pipeline {
namespace {

using io::Json;

[[noreturn]] void Refuse(const std::string& why) {
  throw Error(
      {.what = "cannot write the champion as a mergekit config",
       .why = why,
       .fix = "use the model folder of the run (evolve/champion), or search with --algorithm cma-es"});
}

/// YAML in JSON's form, which every reader takes: texts with any characters, numbers that read back exactly.
std::string Number(double value) { return Json(value).dump(); }

/// The weights of one parent in one group of layers, by the component that a tensor's name says.
std::string Weights(const std::vector<double>& coefficients, std::size_t group) {
  const double* c = coefficients.data() + group * merge::kComponentGroups;
  if (c[0] == c[1] && c[1] == c[2]) return Number(c[0]);
  return fmt::format(
      "[{{\"filter\": \"self_attn\", \"value\": {}}}, {{\"filter\": \"mlp\", \"value\": {}}}, {{\"value\": "
      "{}}}]",
      Number(c[0]), Number(c[1]), Number(c[2]));
}

/// First layer of each group, and the number of layers: CoefficientIndex gives layer l to group l * groups /
/// layers.
std::vector<int> GroupStarts(int groups, int layers) {
  std::vector<int> starts;
  for (int layer = 0; layer < layers; ++layer)
    if (layer * groups / layers == static_cast<int>(starts.size())) starts.push_back(layer);
  starts.push_back(layers);
  return starts;
}

}  // namespace

Json EvolveResult(track::Store& store, const std::string& run) {
  for (const track::Stage& stage : store.Stages(run))
    if (stage.name == kEvolveStage && stage.result.contains("champion")) return stage.result;
  return nullptr;
}

std::string MergekitRecipe(const Json& result) {
  const Json& recipe = result.at("champion_recipe");
  if (!recipe.contains("level"))
    Refuse(fmt::format("it is {}, a recipe of the classic search, whose steps mergekit has no method for",
                       recipe.value("recipe", "")));
  if (recipe.at("recipe") != "task arithmetic")
    Refuse(
        fmt::format("it joins the parents' changes by {}, which forge evo does by another rule than mergekit",
                    recipe.at("recipe").get<std::string>()));
  const auto coefficients = recipe.at("coefficients").get<std::vector<std::vector<double>>>();
  const auto& models = result.at("models");
  const std::string base = models.at("base").dump();
  const std::size_t groups = coefficients.at(0).size() / merge::kComponentGroups;
  const std::vector<int> starts = GroupStarts(static_cast<int>(groups), models.at("layers").get<int>());
  std::string text = fmt::format(
      "# The champion of a search, made by forge lineage.\nmerge_method: task_arithmetic\nbase_model: "
      "{}\nslices:\n",
      base);
  for (std::size_t group = 0; group < groups; ++group) {
    const std::string range = fmt::format("layer_range: [{}, {}]", starts[group], starts[group + 1]);
    text += fmt::format("  - sources:\n      - model: {}\n        {}\n", base, range);
    for (std::size_t parent = 0; parent < coefficients.size(); ++parent)
      text +=
          fmt::format("      - model: {}\n        {}\n        parameters:\n          weight: {}\n",
                      models.at("parents").at(parent).dump(), range, Weights(coefficients[parent], group));
  }
  text += fmt::format("parameters:\n  lambda: {}\ndtype: float32\nout_dtype: {}\n",
                      Number(recipe.at("lambda")), models.at("stored_as").get<std::string>());
  return text;
}

}  // namespace forge::pipeline
