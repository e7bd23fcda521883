// SPDX-License-Identifier: Apache-2.0
#include "model/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/safetensors_writer.h"
#include "model/testing_models.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RandomWeights;
using testing::SharedFolder;
using testing::TinyConfig;

class ModelFolderTest : public ::testing::Test {
 protected:
  ~ModelFolderTest() override { fs::remove_all(folder_); }
  fs::path folder_ = fs::temp_directory_path() / ("forge_model_folder_" + std::to_string(getpid()));
};

std::string ErrorOf(const io::Json& json) {
  try {
    ParseModelConfig(json, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(ModelFolderTest, GivesBackWhatWasSaved) {
  for (const char* type : {"qwen2", "llama"}) {
    ModelConfig config = TinyConfig(type);
    config.tie_word_embeddings = config.model_type == "qwen2";
    const ModelWeights weights = RandomWeights(config);
    SaveModelFolder(folder_, config, weights, io::FloatType::kF32, "", /*replace=*/true);
    const ModelFolder loaded = LoadModelFolder(folder_);
    EXPECT_EQ(loaded.config, config);
    EXPECT_EQ(loaded.weights, weights);
  }
}

TEST_F(ModelFolderTest, CopiesTheTokenizerAndLeavesNoPartialFolder) {
  fs::create_directories(folder_ / "source");
  io::WriteFileAtomically(folder_ / "source/tokenizer.json", "{}");
  const ModelConfig config = TinyConfig();
  SaveModelFolder(folder_ / "out", config, RandomWeights(config), io::FloatType::kBF16, folder_ / "source");
  EXPECT_EQ(io::ReadFile(folder_ / "out/tokenizer.json"), "{}");
  EXPECT_FALSE(fs::exists(folder_ / "out/vocab.json"));
  EXPECT_FALSE(fs::exists(folder_ / "out.partial"));
  EXPECT_THROW(SaveModelFolder(folder_ / "out", config, RandomWeights(config), io::FloatType::kBF16, ""),
               Error);
}

TEST_F(ModelFolderTest, RefusesWeightsThatAreNotFiniteOrDoNotFit) {
  const ModelConfig config = TinyConfig();
  ModelWeights weights = RandomWeights(config);
  SaveModelFolder(folder_, config, weights, io::FloatType::kF32, "");
  weights.at("model.norm.weight").values[3] = NAN;
  std::vector<io::NamedFloats> tensors;
  for (const auto& [name, tensor] : weights) tensors.push_back({name, tensor.shape, tensor.values});
  io::WriteSafetensors(folder_ / "model.safetensors", tensors, io::FloatType::kF32);
  try {
    LoadModelFolder(folder_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.norm.weight holds nan at element 3"));
  }
  tensors.pop_back();
  io::WriteSafetensors(folder_ / "model.safetensors", tensors, io::FloatType::kF32);
  EXPECT_THROW(LoadModelFolder(folder_), Error);
}

TEST_F(ModelFolderTest, TakesTheEndTokensOfGenerationConfig) {
  const ModelConfig config = TinyConfig();
  SaveModelFolder(folder_, config, RandomWeights(config), io::FloatType::kF32, "");
  io::WriteFileAtomically(folder_ / "generation_config.json", R"({"eos_token_id": [7, 8, 9]})");
  EXPECT_THAT(LoadModelFolder(folder_).config.eos_token_ids, ElementsAre(7, 8, 9));
  io::WriteFileAtomically(folder_ / "generation_config.json", R"({"eos_token_id": 40})");
  EXPECT_THROW(LoadModelFolder(folder_), Error);
}

TEST_F(ModelFolderTest, IgnoresAStoredHeadWhenTheConfigTiesIt) {
  ModelConfig config = TinyConfig();
  config.tie_word_embeddings = false;
  SaveModelFolder(folder_, config, RandomWeights(config), io::FloatType::kF32, "");
  config.tie_word_embeddings = true;
  io::WriteJsonFile(folder_ / "config.json", ToConfigJson(config, io::FloatType::kF32));
  EXPECT_FALSE(LoadModelFolder(folder_).weights.contains("lm_head.weight"));
}

TEST(ModelConfigJson, ReadsTheRopeBaseOfTransformers5) {
  io::Json json = ToConfigJson(TinyConfig(), io::FloatType::kF32);
  json.erase("rope_theta");
  EXPECT_EQ(ParseModelConfig(json, "x").rope_theta, 10000);
  json["rope_parameters"] = {{"rope_theta", 1e6}, {"rope_type", "default"}};
  EXPECT_EQ(ParseModelConfig(json, "x").rope_theta, 1e6);
  json["rope_parameters"]["rope_type"] = "yarn";
  json["rope_parameters"]["factor"] = 4.0;
  EXPECT_THAT(ErrorOf(json), HasSubstr("\"yarn\""));
}

TEST(ModelConfigJson, DefaultsWhatTransformersDefaults) {
  io::Json json = ToConfigJson(TinyConfig("llama"), io::FloatType::kF32);
  for (const char* name :
       {"num_key_value_heads", "head_dim", "attention_bias", "tie_word_embeddings", "eos_token_id"})
    json.erase(name);
  const ModelConfig config = ParseModelConfig(json, "x");
  EXPECT_EQ(config.num_key_value_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_FALSE(config.attention_bias);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_TRUE(config.eos_token_ids.empty());
  json["model_type"] = "qwen2";
  json["architectures"] = {"Qwen2ForCausalLM"};
  EXPECT_TRUE(ParseModelConfig(json, "x").attention_bias);
}

TEST(ModelConfigJson, NamesEverythingThatIsWrongAtOnce) {
  io::Json json = ToConfigJson(TinyConfig(), io::FloatType::kF32);
  json.erase("hidden_size");
  json["vocab_size"] = "many";
  json["hidden_act"] = "gelu";
  json["use_sliding_window"] = true;
  const std::string text = ErrorOf(json);
  for (const char* part :
       {"hidden_size is missing", "vocab_size is \"many\"", "hidden_act", "use_sliding_window"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(ErrorOf({{"model_type", "mamba"}}), HasSubstr("forge knows qwen2 and llama"));
  EXPECT_THAT(ErrorOf(io::Json::array()), HasSubstr("no model_type"));
}

TEST(ModelConfigJson, RefusesSizesThatOverflow) {
  io::Json json = ToConfigJson(TinyConfig(), io::FloatType::kF32);
  json["num_attention_heads"] = 65536;
  json["head_dim"] = 65536;
  EXPECT_THAT(ErrorOf(json), HasSubstr("a size of 4294967296 is above"));
}

TEST_F(ModelFolderTest, SurvivesDamagedFiles) {
  const ModelConfig config = TinyConfig();
  SaveModelFolder(folder_, config, RandomWeights(config), io::FloatType::kF16, "");
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors"}) {
    const std::string whole = io::ReadFile(folder_ / name);
    Random random(1, name);
    const auto header = static_cast<std::uint32_t>(std::min<std::size_t>(whole.size(), 4000));
    for (int trial = 0; trial < 200; ++trial) {
      std::string damaged = whole;
      damaged[random.Below(header)] ^= static_cast<char>(1u << random.Below(8));
      if (trial % 4 == 0) damaged.resize(random.Below(header));
      std::ofstream(folder_ / name, std::ios::binary) << damaged;
      try {
        LoadModelFolder(folder_);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInput);
      }
    }
    std::ofstream(folder_ / name, std::ios::binary) << whole;
  }
}

TEST(ModelFolderGolden, ReadsTheGoldenModels) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/stories260K_llama");
  const ModelFolder llama = LoadModelFolder(SharedFolder() / "data/golden/stories260K_llama");
  EXPECT_EQ(llama.config.model_type, "llama");
  EXPECT_EQ(llama.config.num_key_value_heads, 4);
  EXPECT_EQ(CountParameters(llama.config), 260032);  // "260K"
  const ModelFolder qwen = LoadModelFolder(SharedFolder() / "data/golden/qwen2_tiny_random");
  EXPECT_EQ(qwen.config.rope_theta, 1e6);
  EXPECT_TRUE(qwen.config.attention_bias);
  EXPECT_THAT(qwen.config.eos_token_ids, ElementsAre(299));
}

}  // namespace
}  // namespace forge::model
