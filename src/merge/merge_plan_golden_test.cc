// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "merge/merge_plan.h"
#include "model/lora.h"
#include "model/model_folder.h"
#include "model/testing_models.h"

/// Against merges made with mergekit 0.1.5.
namespace forge::merge {
namespace {

namespace fs = std::filesystem;
constexpr const char* kGolden = "data/golden/mergekit";

std::unique_ptr<model::WeightSource> Open(const std::string& name) {
  const fs::path root = model::testing::SharedFolder() / kGolden;
  const std::size_t plus = name.find('+');
  std::unique_ptr<model::WeightSource> source = model::OpenModelFolder(root / name.substr(0, plus));
  if (plus == std::string::npos) return source;
  return model::AddLora(std::move(source), model::ReadLoraAdapter(root / name.substr(plus + 1)), 1, name);
}

MergePlan PlanFolder(const fs::path& folder) {
  const std::string file = folder / "config.yml";
  const MergeConfig config = ParseMergeConfigs(io::ReadFile(file), file).at(0);
  std::vector<std::unique_ptr<model::WeightSource>> owned;
  std::vector<const model::WeightSource*> models;
  for (const std::string& name : ModelsOf(config)) models.push_back(owned.emplace_back(Open(name)).get());
  return MakePlan(config, models, {.mergekit_numerics = true});
}

MergePlan PlanCase(const std::string& name) {
  return PlanFolder(model::testing::SharedFolder() / kGolden / "cases" / name);
}

const TensorParameters& Of(const MergePlan& plan, const std::string& tensor) {
  for (const TensorTask& task : plan.tensors)
    if (task.name == tensor) return task.parameters;
  throw std::out_of_range(tensor);
}

TEST(MergekitPlan, HasTheTensorsShapesAndTypesOfEveryResult) {
  FORGE_SKIP_WITHOUT_SHARED(kGolden);
  int cases = 0;
  for (const fs::directory_entry& folder :
       fs::directory_iterator(model::testing::SharedFolder() / kGolden / "cases")) {
    SCOPED_TRACE(folder.path().filename());
    const MergePlan plan = PlanFolder(folder.path());
    const io::SafetensorsFile result(folder.path() / "model.safetensors");
    ASSERT_EQ(plan.tensors.size(), result.entries().size());
    for (const TensorTask& task : plan.tensors) {
      const io::SafetensorsFile::Entry* entry = result.Find(task.name);
      ASSERT_NE(entry, nullptr) << task.name;
      EXPECT_EQ(entry->shape, task.shape) << task.name;
      EXPECT_EQ(entry->dtype, io::Name(task.out_type)) << task.name;
    }
    ++cases;
  }
  EXPECT_GE(cases, 60);
}

// base: weight [0.2, 0.8]; ft1: self_attn [0.5, 0.1, 0.4], mlp 0.25, else 0.4; ft2: 0.15. Layer 1 of 4 is at
// t = 1/3, layer 2 at 2/3.
TEST(MergekitPlan, LooksUpGradientsAndFiltersOfModels) {
  FORGE_SKIP_WITHOUT_SHARED(kGolden);
  const MergePlan plan = PlanCase("linear_nonorm_gradient");
  const TensorParameters& query = Of(plan, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_DOUBLE_EQ(query.Get("weight", 0), 0.4);
  EXPECT_DOUBLE_EQ(query.Get("weight", 1), 0.5 / 3 + 0.1 * 2 / 3);
  EXPECT_EQ(query.Get("weight", 2), 0.15);
  EXPECT_EQ(query.Get("normalize"), 0);
  const TensorParameters& up = Of(plan, "model.layers.2.mlp.up_proj.weight");
  EXPECT_DOUBLE_EQ(up.Get("weight", 0), 0.6);
  EXPECT_EQ(up.Get("weight", 1), 0.25);
  EXPECT_EQ(Of(plan, "model.layers.3.input_layernorm.weight").Get("weight", 1), 0.4);
  EXPECT_EQ(Of(plan, "model.norm.weight").Get("weight", 0), 0.2);
}

// The second slice has one layer, so its gradient [0.2, 0.7] is at its end.
TEST(MergekitPlan, LooksUpSlices) {
  FORGE_SKIP_WITHOUT_SHARED(kGolden);
  const MergePlan plan = PlanCase("linear_slices_offset");
  EXPECT_EQ(plan.config.num_hidden_layers, 3);
  EXPECT_EQ(Of(plan, "model.layers.0.mlp.up_proj.weight").Get("weight", 0), 0.1);
  EXPECT_EQ(Of(plan, "model.layers.1.mlp.up_proj.weight").Get("weight", 0), 0.9);
  EXPECT_EQ(Of(plan, "model.layers.1.mlp.up_proj.weight").Get("weight", 1), 0.4);
  EXPECT_EQ(Of(plan, "model.layers.1.mlp.up_proj.weight").Get("normalize"), 1);
  EXPECT_EQ(Of(plan, "model.layers.2.mlp.up_proj.weight").Get("weight", 1), 0.7);
  EXPECT_EQ(Of(plan, "model.layers.2.mlp.up_proj.weight").Get("normalize"), 0);
  EXPECT_EQ(Of(plan, "lm_head.weight").Get("weight", 0), 0.2);
}

TEST(MergekitPlan, LooksUpModules) {
  FORGE_SKIP_WITHOUT_SHARED(kGolden);
  const MergePlan plan = PlanCase("modules_syntax");
  const TensorParameters& up = Of(plan, "model.layers.3.mlp.up_proj.weight");
  EXPECT_EQ(up.Get("weight", 0), 0.3);
  EXPECT_EQ(up.Get("weight", 1), 0.4);
  EXPECT_EQ(up.Get("lambda"), 1.1);
  EXPECT_EQ(up.Get("normalize"), 0);
}

TEST(MergekitPlan, CutsTheSourcesOfNormAndHeadAsMergekitDoes) {
  FORGE_SKIP_WITHOUT_SHARED(kGolden);
  const MergePlan plan = PlanCase("linear_post_weights_quirk");
  EXPECT_EQ(plan.tensors.back().sources.size(), 1u);
  EXPECT_EQ(plan.models.at(static_cast<std::size_t>(plan.tensors.back().sources[0].model)),
            "inputs/llama/ft2");
}

}  // namespace
}  // namespace forge::merge
