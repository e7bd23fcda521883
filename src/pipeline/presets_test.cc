// SPDX-License-Identifier: Apache-2.0
#include "pipeline/presets.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace forge::pipeline {
namespace {

UnifiedConfig Applied(const std::string& preset, const std::set<std::string>& given,
                      UnifiedConfig config = {}) {
  config.preset = preset;
  ApplyPreset([&](const std::string& field) { return given.contains(field); }, config);
  return config;
}

UnifiedConfig WithTasks(const std::string& tasks) {
  UnifiedConfig config;
  config.evolve.tasks = tasks;
  return config;
}

TEST(Presets, StarterChangesNothing) {
  EXPECT_EQ(Applied("starter", {}).evolve.search_items, EvolveConfig{}.search_items);
}

TEST(Presets, LeaveWhatWasGiven) {
  UnifiedConfig config = WithTasks("data:d");
  config.evolve.generations = 33;
  config.compress.compress.training_steps = 7;
  config = Applied("small", {"generations", "compress_steps"}, config);
  EXPECT_EQ(config.evolve.generations, 33);
  EXPECT_EQ(config.compress.compress.training_steps, 7);
  EXPECT_NE(config.evolve.search_items, EvolveConfig{}.search_items);
}

TEST(Presets, TakeTheDataOfTheOtherStagesFromTheTasks) {
  const UnifiedConfig config = Applied("smoke", {}, WithTasks("data:d"));
  EXPECT_EQ(config.reason.eval_dataset, "data:d");
  EXPECT_EQ(config.compress.calibration_dataset, "data:d");
  EXPECT_EQ(config.compress.compress.training_steps, 0);
}

TEST(Presets, OfRealModelsRefuseTheStarterTasks) {
  EXPECT_THROW(Applied("small", {}), Error);
  EXPECT_THROW(Applied("smoke", {}, WithTasks("items.jsonl")), Error);
  UnifiedConfig config = WithTasks("items.jsonl");
  config.no_quietstar = true;
  EXPECT_EQ(Applied("smoke", {}, config).compress.calibration_dataset, "items.jsonl");
}

}  // namespace
}  // namespace forge::pipeline
