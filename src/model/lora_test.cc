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
  double ScaleOf(const io::Json& config) { return Read(config).factors.at(kWeight).scale; }
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

TEST_F(Lora, ReadsBackWhatItSaved) {
  LoraAdapter adapter{.rank = 2, .factors = {}, .replaced = {}};
  adapter.factors[kWeight] = {{{2, 1}, {1, 2}}, {{3, 2}, {3, 4, 5, 6, 7, 8}}, 0.5};
  adapter.factors["model.layers.0.self_attn.q_proj.weight"] = {{{2, 1}, {6, 7}}, {{1, 2}, {8, 9}}, 0.5};
  const fs::path saved = folder_ / "saved";
  SaveLoraAdapter(saved, adapter, "models/base");
  const LoraAdapter read = ReadLoraAdapter(saved);
  EXPECT_EQ(read.rank, 2);
  ASSERT_EQ(read.factors.size(), 2u);
  for (const auto& [name, factors] : adapter.factors) {
    EXPECT_EQ(read.factors.at(name).a, factors.a);
    EXPECT_EQ(read.factors.at(name).b, factors.b);
    EXPECT_EQ(read.factors.at(name).scale, 0.5);
  }
  const io::Json config = io::ReadJsonFile(saved / "adapter_config.json");
  EXPECT_EQ(config["target_modules"], (io::Json{"q_proj", "up_proj"}));
  EXPECT_EQ(config["base_model_name_or_path"], "models/base");
}

// W = 0 [3, 2], B A = (3 4 5)^T (1 2), scale 2, strength 1/2: exactly B A.
TEST_F(Lora, AddsTheScaledProduct) {
  ModelWeights weights = {{kWeight, {{3, 2}, {0, 0, 0, 0, 0, 1}}}};
  AddLora(Read(Config()), 0.5, weights, "x");
  EXPECT_THAT(weights.at(kWeight).values, ElementsAre(3, 6, 4, 8, 5, 11));
}

TEST_F(Lora, DividesAlphaByTheRootOfTheRankWhenRankStabilized) {
  io::Json config = Config();
  config["use_rslora"] = true;
  EXPECT_EQ(ScaleOf(config), 2);  // rank 1: the same
  const std::vector<float> a(8, 1), b(12, 1);
  const std::string prefix = "base_model.model.model.layers.0.mlp.up_proj.lora_";
  io::WriteSafetensors(folder_ / "adapter_model.safetensors",
                       {{prefix + "A.weight", {4, 2}, a}, {prefix + "B.weight", {3, 4}, b}},
                       io::FloatType::kF32);
  config["r"] = 4;
  EXPECT_EQ(ScaleOf(config), 1);
  config["use_rslora"] = false;
  EXPECT_EQ(ScaleOf(config), 0.5);
}

// Keys are ends of module paths, whole words between dots; the first that matches wins, in the order of the
// file.
TEST_F(Lora, TakesRankAndAlphaOfAModuleFromThePatterns) {
  const auto scale_of = [&](const std::string& patterns) {
    io::WriteFileAtomically(folder_ / "adapter_config.json",
                            R"({"peft_type": "LORA", "r": 8, "lora_alpha": 2, )" + patterns + "}");
    return ReadLoraAdapter(folder_).factors.at(kWeight).scale;
  };
  EXPECT_EQ(scale_of(R"("rank_pattern": {"up_proj": 1})"), 2);
  EXPECT_EQ(
      scale_of(R"("rank_pattern": {"model.layers.0.mlp.up_proj": 1}, "alpha_pattern": {"mlp.up_proj": 6})"),
      6);
  EXPECT_EQ(scale_of(R"("rank_pattern": {"up_proj": 1}, "alpha_pattern": {"proj": 6})"),
            2);  // not a whole word
  EXPECT_EQ(scale_of(R"("rank_pattern": {"up_proj": 1, "mlp.up_proj": 3})"), 2);
  EXPECT_THROW(scale_of(R"("rank_pattern": {"mlp.up_proj": 3, "up_proj": 1})"),
               Error);  // the file has rank 1
  EXPECT_THROW(scale_of(R"("rank_pattern": {"down_proj": 1})"), Error);
}

// As PEFT does, a name stands for all modules that end so.
TEST_F(Lora, ReplacesModulesThatWereSavedWhole) {
  const std::vector<float> a = {1, 2}, b = {3, 4, 5}, norm = {7, 8};
  const std::string prefix = "base_model.model.model.";
  for (const char* name : {"norm.weight", "norm.modules_to_save.weight"}) {
    io::WriteSafetensors(folder_ / "adapter_model.safetensors",
                         {{prefix + "layers.0.mlp.up_proj.lora_A.weight", {1, 2}, a},
                          {prefix + "layers.0.mlp.up_proj.lora_B.weight", {3, 1}, b},
                          {prefix + name, {2}, norm}},
                         io::FloatType::kF32);
    io::Json config = Config();
    EXPECT_THAT(ErrorOf(config), HasSubstr("neither a factor of a linear nor a module of modules_to_save"));
    config["modules_to_save"] = {"orm"};
    ModelWeights weights = {{kWeight, {{3, 2}, std::vector<float>(6, 0.0f)}},
                            {"model.norm.weight", {{2}, {1, 0}}}};
    const LoraAdapter adapter = Read(config);
    AddLora(adapter, 1, weights, "x");
    EXPECT_EQ(weights.at("model.norm.weight").values, norm);
    EXPECT_EQ(weights.at(kWeight).values[5], 20);
    AddLora(adapter, 0.5, weights = {{kWeight, weights.at(kWeight)}, {"model.norm.weight", {{2}, {1, 0}}}},
            "x");
    EXPECT_THAT(weights.at("model.norm.weight").values, ElementsAre(4, 4));
    weights.erase("model.norm.weight");
    EXPECT_THROW(AddLora(adapter, 1, weights, "x"), Error);
  }
}

// PEFT leaves open whether a tied head follows.
TEST_F(Lora, RefusesToReplaceATiedEmbedding) {
  const std::vector<float> table = {1, 2};
  io::WriteSafetensors(folder_ / "adapter_model.safetensors",
                       {{"base_model.model.model.embed_tokens.weight", {1, 2}, table}}, io::FloatType::kF32);
  io::Json config = Config();
  config["modules_to_save"] = {"embed_tokens"};
  const LoraAdapter adapter = Read(config);
  ModelWeights weights = {{"model.embed_tokens.weight", {{1, 2}, {0, 0}}}};
  EXPECT_THROW(AddLora(adapter, 1, weights, "x"), Error);
  weights["lm_head.weight"] = {{1, 2}, {0, 0}};
  AddLora(adapter, 1, weights, "x");
  EXPECT_EQ(weights.at("model.embed_tokens.weight").values, table);
}

TEST_F(Lora, GivesTheSameBitsRowByRow) {
  const ModelConfig config = testing::TinyConfig();
  const ModelWeights base = testing::RandomWeights(config);
  Random random(1, "lora_test");
  std::vector<float> a(3 * 64), b(128 * 3);
  for (float& value : a) value = static_cast<float>(random.Normal());
  for (float& value : b) value = static_cast<float>(random.Normal());
  const std::string prefix = "base_model.model.model.layers.1.mlp.up_proj.lora_";
  io::WriteSafetensors(folder_ / "adapter_model.safetensors",
                       {{prefix + "A.weight", {3, 64}, a}, {prefix + "B.weight", {128, 3}, b}},
                       io::FloatType::kF32);
  io::Json settings = Config();
  settings["r"] = 3;
  const LoraAdapter adapter = Read(settings);
  ModelWeights whole = base;
  AddLora(adapter, 0.75, whole, "x");
  EXPECT_NE(whole, base);
  const auto source = AddLora(WeightsInMemory(config, base), adapter, 0.75, "x");
  EXPECT_EQ(source->ReadAll(), whole);
  const TensorSpec spec{"model.layers.1.mlp.up_proj.weight", {128, 64}, TensorRole::kMlpLinear, 1};
  std::vector<float> rows(5 * 64);
  source->ReadRows(spec, 100, rows);
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), whole.at(spec.name).values.begin() + 100 * 64));
}

TEST_F(Lora, RefusesFactorsOfPyTorch) {
  fs::remove(folder_ / "adapter_model.safetensors");
  io::WriteFileAtomically(folder_ / "adapter_model.bin", "PK");
  EXPECT_THAT(ErrorOf(Config()), HasSubstr("a Python pickle"));
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
  EXPECT_THAT(ErrorOf(with("modules_to_save", {"lm_head"})),
              HasSubstr("modules_to_save names lm_head, of which the file has no weight"));
  EXPECT_THAT(ErrorOf(with("init_lora_weights", "pissa_niter_4")), HasSubstr("a changed base model"));
  EXPECT_EQ(ErrorOf(with("init_lora_weights", "gaussian")), "no error");
  EXPECT_THAT(ErrorOf(with("layer_replication", {{0, 4}, {2, 5}})), HasSubstr("layer_replication"));
  EXPECT_THAT(ErrorOf(with("trainable_token_indices", {1, 2})), HasSubstr("trainable_token_indices"));
  EXPECT_THAT(ErrorOf(with("rank_pattern", {{"model.layers.\\d+.mlp", 2}})), HasSubstr("regular expression"));
  EXPECT_THAT(ErrorOf(with("rank_pattern", {{"up_proj", 0}})), HasSubstr("rank_pattern of \"up_proj\" is 0"));
  EXPECT_THAT(ErrorOf(with("alpha_pattern", {{"up_proj", "x"}})), HasSubstr("alpha_pattern of"));
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
    for (const auto& [name, factors] : adapter.factors) EXPECT_EQ(factors.scale, 2) << name;
  }
}

}  // namespace
}  // namespace forge::model
