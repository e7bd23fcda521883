// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "io/safetensors_writer.h"
#include "model/model_folder.h"
#include "model/testing_models.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SharedFolder;

constexpr const char* kWeight = "model.layers.0.mlp.up_proj.weight";

class Lora : public ::testing::Test {
 protected:
  Lora() {
    fs::create_directories(folder_);
    WriteFactors({1, 2}, {3, 4, 5});
  }
  ~Lora() override { fs::remove_all(folder_); }

  /// Rank 1, alpha 2: scale 2.
  io::Json Config() { return {{"peft_type", "LORA"}, {"r", 1}, {"lora_alpha", 2}, {"bias", "none"}}; }
  void WriteFactors(const std::vector<float>& a, const std::vector<float>& b) {
    const std::string prefix = "base_model.model.model.layers.0.mlp.up_proj.lora_";
    io::WriteSafetensors(folder_ / "adapter_model.safetensors",
                         {{prefix + "A.weight", {1, static_cast<std::int64_t>(a.size())}, a},
                          {prefix + "B.weight", {static_cast<std::int64_t>(b.size()), 1}, b}},
                         io::FloatType::kF32);
  }
  LoraAdapter Read(const io::Json& config) {
    io::WriteJsonFile(folder_ / "adapter_config.json", config);
    return ReadLoraAdapter(folder_);
  }
  std::string ErrorOf(const io::Json& config) {
    try {
      Read(config);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  fs::path folder_ = fs::temp_directory_path() / ("forge_lora_" + std::to_string(getpid()));
};

// W = 0 [3, 2], B A = (3 4 5)^T (1 2), scale 2, strength 1/2: exactly B A.
TEST_F(Lora, AddsTheScaledProduct) {
  ModelWeights weights = {{kWeight, {{3, 2}, {0, 0, 0, 0, 0, 1}}}};
  AddLora(Read(Config()), 0.5, weights, "x");
  EXPECT_THAT(weights.at(kWeight).values, ElementsAre(3, 6, 4, 8, 5, 11));
}

TEST_F(Lora, DividesAlphaByTheRootOfTheRankWhenRankStabilized) {
  io::Json config = Config();
  config["use_rslora"] = true;
  EXPECT_EQ(Read(config).scale, 2);  // rank 1: the same
  const std::vector<float> a(8, 1), b(12, 1);
  const std::string prefix = "base_model.model.model.layers.0.mlp.up_proj.lora_";
  io::WriteSafetensors(folder_ / "adapter_model.safetensors",
                       {{prefix + "A.weight", {4, 2}, a}, {prefix + "B.weight", {3, 4}, b}},
                       io::FloatType::kF32);
  config["r"] = 4;
  EXPECT_EQ(Read(config).scale, 1);
  config["use_rslora"] = false;
  EXPECT_EQ(Read(config).scale, 0.5);
}

TEST_F(Lora, RefusesOtherKindsOfAdapters) {
  const auto with = [&](const char* key, const io::Json& value) {
    io::Json config = Config();
    config[key] = value;
    return config;
  };
  EXPECT_EQ(ErrorOf(with("rank_pattern", io::Json::object())), "no error");
  EXPECT_THAT(ErrorOf(with("use_dora", true)), HasSubstr("use_dora is true"));
  EXPECT_THAT(ErrorOf(with("bias", "all")), HasSubstr("bias is \"all\""));
  EXPECT_THAT(ErrorOf(with("modules_to_save", {"lm_head"})), HasSubstr("modules_to_save"));
  EXPECT_THAT(ErrorOf(with("peft_type", "IA3")), HasSubstr("peft_type"));
  EXPECT_THAT(ErrorOf(with("r", 0)), HasSubstr("r is 0"));
  EXPECT_THAT(ErrorOf(with("r", 2)), HasSubstr("they must be [2, in] and [out, 2]"));
  WriteFactors({1, NAN}, {1});
  EXPECT_THAT(ErrorOf(Config()), HasSubstr("holds nan"));
}

TEST_F(Lora, ChangesNothingWhenAWeightDoesNotFit) {
  const ModelWeights before = {{kWeight, {{2, 2}, {0, 0, 0, 0}}}};
  ModelWeights weights = before;
  EXPECT_THROW(AddLora(Read(Config()), 1, weights, "x"), Error);
  EXPECT_EQ(weights, before);
  weights.clear();
  EXPECT_THROW(AddLora(Read(Config()), 1, weights, "x"), Error);
}

// mergekit 0.1.5 with PEFT, float32: within one rounding of our own single one.
TEST(LoraGolden, FoldsAsMergekitDoes) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/mergekit");
  const fs::path golden = SharedFolder() / "data/golden/mergekit";
  ModelFolder model = LoadModelFolder(golden / "inputs/llama/base");
  const ModelFolder expected = LoadModelFolder(golden / "cases/lora_fold");
  const ModelWeights base = model.weights;
  AddLora(ReadLoraAdapter(golden / "inputs/llama_lora"), 1, model.weights, "llama_lora");
  EXPECT_NE(model.weights, base);
  for (const auto& [name, tensor] : expected.weights)
    for (std::size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_NEAR(model.weights.at(name).values[i], tensor.values[i],
                  1.2e-7 * std::max(1.0f, std::fabs(tensor.values[i])))
          << name << " at " << i;
}

TEST(LoraGolden, ReadsTheSpecialists) {
  FORGE_SKIP_WITHOUT_SHARED("data/models/smollm2-135m-specialists");
  for (const char* task : {"math", "code", "stories"}) {
    const LoraAdapter adapter =
        ReadLoraAdapter(SharedFolder() / "data/models/smollm2-135m-specialists" / task);
    EXPECT_EQ(adapter.factors.size(), 210u);
    EXPECT_EQ(adapter.scale, 2);
  }
}

}  // namespace
}  // namespace forge::model
