// SPDX-License-Identifier: Apache-2.0
#include "pipeline/lineage_recipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "merge/recipe_json.h"
#include "merge/recipe_steps.h"
#include "pipeline/evolve_candidates.h"

namespace forge::pipeline {
namespace {

using io::Json;

[[noreturn]] void Refuse(const std::string& why) {
  throw Error({.what = "cannot write the champion as a mergekit config",
               .why = why,
               .fix = "use the model folder of the run (evolve/champion); the searches over coefficients "
                      "(--algorithm cma-es, without --method-gene) make champions that can be written"});
}

/// YAML in JSON's form, which every reader takes: texts with any characters, numbers that read back exactly.
std::string Number(double value) { return Json(value).dump(); }

/// The weights of one model in one group of layers, by the component that a tensor's name says.
std::string Weights(const std::vector<double>& weights, std::size_t group) {
  if (weights.size() == 1) return Number(weights[0]);
  const double* c = weights.data() + group * merge::kComponentGroups;
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

/// Layers of one source that follow each other there and in the result.
struct Run {
  int source, first, end;
};
std::vector<Run> RunsOf(const std::vector<merge::LayerChoice>& path) {
  std::vector<Run> runs;
  for (const merge::LayerChoice& choice : path) {
    if (!runs.empty() && runs.back().source == choice.source && runs.back().end == choice.layer)
      ++runs.back().end;
    else
      runs.push_back({choice.source, choice.layer, choice.layer + 1});
  }
  return runs;
}

/// Writes the recipe's steps and its structure as documents, each but the last with a name.
class Documents {
 public:
  Documents(const merge::MergeRecipe& recipe, const Json& models)
      : recipe_(recipe), layers_(models.at("layers").get<int>()), stored_as_(models.at("stored_as")) {
    const auto parents = models.at("parents").get<std::vector<std::string>>();
    const auto base = models.at("base").get<std::string>();
    names_.push_back(base.empty() ? "average" : base);
    names_.insert(names_.end(), parents.begin(), parents.end());
    if (base.empty()) WriteAverage();
  }

  std::string Write() {
    const std::vector<merge::MergeStep> steps = merge::StepsOf(recipe_);
    const std::vector<Run> runs = RunsOf(recipe_.layers);
    const bool is_stacked =
        runs.size() > 1 || runs[0].source > 0 || runs[0].first > 0 || runs[0].end != layers_;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const bool is_last = i + 1 == steps.size();
      WriteStep(steps[i], !is_last ? fmt::format("step-{}", i + 1) : is_stacked ? "merged" : "");
    }
    if (is_stacked) WriteStructure(runs);
    const char* const how = text_.find("\n---\n") == std::string::npos
                                ? "forge merge THIS OUT, or mergekit-yaml THIS OUT"
                                : "forge merge THIS OUT --intermediate-dir STEPS, or mergekit-multi THIS "
                                  "--intermediate-dir STEPS --out-path OUT";
    return fmt::format("# The champion of a search, made by forge lineage: {}\n{}", how, text_);
  }

 private:
  void Begin(const std::string& name, const std::string& method) {
    if (!text_.empty()) text_ += "---\n";
    if (!name.empty()) text_ += fmt::format("name: {}\n", name);
    text_ += fmt::format("merge_method: {}\n", method);
  }
  void End(const std::string& name) {
    text_ += "dtype: float32\n";
    if (name.empty()) text_ += fmt::format("out_dtype: {}\n", stored_as_);
  }
  void AddSource(const std::string& model, int first, int end, const std::string& parameters) {
    text_ +=
        fmt::format("      - model: {}\n        layer_range: [{}, {}]\n", Json(model).dump(), first, end);
    if (!parameters.empty()) text_ += "        parameters:\n" + parameters;
  }

  void WriteAverage() {
    Begin("average", "linear");
    text_ += "models:\n";
    for (std::size_t parent = 1; parent < names_.size(); ++parent)
      text_ += fmt::format("  - model: {}\n    parameters: {{weight: 1}}\n", Json(names_[parent]).dump());
    End("average");
  }

  void WriteStep(const merge::MergeStep& step, const std::string& name) {
    if (step.method == "dare_linear")
      Refuse(fmt::format(
          "its DARE step keeps {} of the changes, drawn at random: mergekit draws other ones, and its config "
          "cannot say which",
          step.density));
    Begin(name, step.method);
    text_ += fmt::format("base_model: {}\nslices:\n", Json(names_.at(Index(step.models[0]))).dump());
    std::size_t groups = 1;
    for (const std::vector<double>& row : step.weights)
      groups = std::max(groups, row.size() / merge::kComponentGroups);
    const std::vector<int> starts = GroupStarts(static_cast<int>(groups), layers_);
    for (std::size_t group = 0; group < groups; ++group) {
      text_ += "  - sources:\n";
      for (std::size_t m = 0; m < step.models.size(); ++m) {
        std::string parameters;
        if (m > 0 && !step.weights.empty())
          parameters = fmt::format("          weight: {}\n", Weights(step.weights[m - 1], group));
        if (m > 0 && step.method == "ties")
          parameters += fmt::format("          density: {}\n", Number(step.density));
        AddSource(names_.at(Index(step.models[m])), starts[group], starts[group + 1], parameters);
      }
    }
    text_ += step.method == "slerp" ? fmt::format("parameters:\n  t: {}\n", Number(step.t))
                                    : fmt::format("parameters:\n  lambda: {}\n", Number(step.lambda));
    End(name);
    names_.push_back(name);
  }

  /// Embedding, final norm and head are the merged model's whatever the first and the last layer come from:
  /// there it is a second source, of those tensors only.
  void WriteStructure(const std::vector<Run>& runs) {
    constexpr const char* kOutside =
        "          weight: [{{\"filter\": \"embed_tokens\", \"value\": {0}}}, {{\"filter\": \"model.norm\", "
        "\"value\": {0}}}, {{\"filter\": \"lm_head\", \"value\": {0}}}, {{\"value\": {1}}}]\n";
    const std::string whole = "          weight: 1\n", outside = fmt::format(kOutside, 1, 0),
                      inside = fmt::format(kOutside, 0, 1);
    Begin("", "linear");
    text_ += "slices:\n";
    for (std::size_t r = 0; r < runs.size(); ++r) {
      const Run& run = runs[r];
      const bool is_end = r == 0 || r + 1 == runs.size();
      text_ += "  - sources:\n";
      if (run.source == 0) {
        AddSource("merged", run.first, run.end, whole);
      } else if (!is_end) {
        AddSource(names_[static_cast<std::size_t>(run.source)], run.first, run.end, whole);
      } else {
        AddSource("merged", run.first, run.end, outside);
        AddSource(names_[static_cast<std::size_t>(run.source)], run.first, run.end, inside);
      }
    }
    text_ += "parameters:\n  normalize: false\n";
    End("");
  }

  static std::size_t Index(int model) { return static_cast<std::size_t>(model); }

  const merge::MergeRecipe& recipe_;
  int layers_;
  std::string stored_as_;
  std::vector<std::string> names_;  // of the models as steps number them
  std::string text_;
};

}  // namespace

Json EvolveResult(track::Store& store, const std::string& run) {
  for (const track::Stage& stage : store.Stages(run))
    if (stage.name == kEvolveStage && stage.result.contains("champion")) return stage.result;
  return nullptr;
}

std::string MergekitRecipe(const Json& result) {
  const Json& models = result.at("models");
  const merge::MergeRecipe recipe = merge::RecipeFromJson(result.at("champion_recipe"));
  if (recipe.rope_theta)
    Refuse(
        fmt::format("its rope theta is {}, a value between those of the parents: mergekit copies the "
                    "config of one model and has no key for it",
                    Number(*recipe.rope_theta)));
  return Documents(recipe, models).Write();
}

}  // namespace forge::pipeline
