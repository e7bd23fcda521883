// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "merge/compatibility.h"
#include "merge/recipe_steps.h"
#include "pipeline/search_identity.h"
#include "pipeline/tasks.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

/// The average of models of one shape, made as it is read. By the method `linear`, so that a config of
/// mergekit can say it.
class AverageWeights : public model::WeightSource {
 public:
  explicit AverageWeights(const std::vector<OpenedModel>& models) : WeightSource(models.front().config) {
    step_.method = "linear";
    for (std::size_t i = 0; i < models.size(); ++i) {
      models_.push_back(models[i].weights);
      step_.models.push_back(static_cast<int>(i));
      step_.weights.push_back({1});
    }
  }
  std::string Name() const override { return "the average of the parents"; }
  std::string StoredType(const model::TensorSpec&) const override { return "F32"; }

 private:
  void ReadStoredRows(const model::TensorSpec& spec, std::int64_t first_row,
                      std::span<float> out) const override {
    std::vector<model::Tensor> rows;
    std::vector<const model::Tensor*> inputs;
    for (const auto& model : models_) {
      rows.push_back({{static_cast<std::int64_t>(out.size())}, std::vector<float>(out.size())});
      model->ReadRows(spec, first_row, rows.back().values);
    }
    for (const model::Tensor& tensor : rows) inputs.push_back(&tensor);
    const std::vector<float> mean = merge::ApplyStep(step_, spec.name, inputs, 0, 0);
    std::copy(mean.begin(), mean.end(), out.begin());
  }

  std::vector<std::shared_ptr<const model::WeightSource>> models_;
  merge::MergeStep step_;
};

/// It is no folder: its path is empty.
OpenedModel AverageOf(const std::vector<OpenedModel>& parents) {
  return {.name = "average",
          .path = {},
          .config = parents.front().config,
          .weights = std::make_shared<AverageWeights>(parents),
          .tokenizer = parents.front().tokenizer};
}

/// What a search needs of a model: its config, and its tokens as far as all models have some. Tokens behind
/// those are never read, since all models are used with the tokenizer of the first.
std::vector<merge::ModelFacts> FactsOf(const std::vector<const OpenedModel*>& models) {
  std::size_t common = SIZE_MAX;
  for (const OpenedModel* model : models)
    if (model->tokenizer) common = std::min(common, model->tokenizer->data().tokens.size());
  std::vector<merge::ModelFacts> facts;
  for (const OpenedModel* model : models) {
    facts.push_back({.name = model->path.string(), .config = model->config});
    if (!model->tokenizer) continue;
    const std::vector<std::string>& tokens = model->tokenizer->data().tokens;
    facts.back().tokenizer = {
        .tokens = {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(common)},
        .special_ids = {},
        .chat_template = {}};
  }
  return facts;
}

/// Throws with all that keeps the models from being merged in memory, weight by weight.
void CheckSearchable(const std::vector<const OpenedModel*>& models, const std::string& algorithm) {
  const char* const kOneVocabulary =
      "give the models one vocabulary first: for each that differs a forge merge by linear of the first "
      "(weight 0) and it (weight 1), with base_model the first and tokenizer_source: base, and search over "
      "the results";
  const char* const kOneValue =
      "set it to one value in the models' config.json if that is what you mean; a search does not change it";
  std::set<std::string> settled{"max_position_embeddings", "eos_token_id"};  // of how a model is used
  if (algorithm != "classic") settled.insert("rope_theta");                  // a gene (merge_space.h)
  std::vector<merge::Difference> differences = merge::CompareModels(FactsOf(models));
  std::erase_if(differences,
                [&](const merge::Difference& difference) { return settled.contains(difference.field); });
  std::vector<std::string> names;
  for (const OpenedModel* model : models) names.push_back(model->path.string());
  merge::RefuseDifferences(
      fmt::format("cannot search merges of {}", fmt::join(names, ", ")), differences,
      {{"vocab_size", kOneVocabulary},
       {"tokens", kOneVocabulary},
       {"rope_theta",
        "search with --algorithm cma-es (or nsga2, map-elites, random), which has a gene for "
        "rope theta between the smallest and the largest"},
       {"rope_scaling", kOneValue},
       {"rms_norm_eps", kOneValue}});
}

}  // namespace

EvolveInputs LoadEvolveInputs(const EvolveConfig& config) {
  EvolveInputs inputs;
  inputs.domains = LoadTasks(config.tasks, {config.search_items, config.selection_items, config.test_items});
  const fs::path models_dir = config.models_dir;
  std::vector<fs::path> paths;
  for (const std::string& name : config.base_models) paths.push_back(ResolveModel(name, models_dir));
  if (paths.size() < 2 || paths.size() > 8)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot merge {} model(s)", paths.size()),
                 .why = "a merge takes 2 to 8 models",
                 .fix = "give --base-models a,b,c"});
  fs::path base = config.base.empty() ? fs::path() : ResolveModel(config.base, models_dir);
  if (base.empty() && fs::exists(paths.front().parent_path() / "base" / "config.json"))
    base = paths.front().parent_path() / "base";
  inputs.base_is_average = base.empty();
  if (!base.empty()) inputs.base = OpenModel(base);
  for (const fs::path& path : paths) inputs.parents.push_back(OpenModel(path, base));
  std::vector<const OpenedModel*> models;
  if (!base.empty()) models.push_back(&inputs.base);
  for (const OpenedModel& parent : inputs.parents) models.push_back(&parent);
  CheckSearchable(models, config.algorithm);
  if (base.empty()) inputs.base = AverageOf(inputs.parents);
  HashModels(inputs);
  inputs.identity = SearchIdentity(inputs);
  return inputs;
}

}  // namespace forge::pipeline
