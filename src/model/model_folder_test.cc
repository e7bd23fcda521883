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
  for (const char* type : {"qwen2", "llama", "mistral", "qwen3"}) {
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
}

TEST(ModelConfigJson, ReadsTheScalingOfPositionsInBothPlaces) {
  const io::Json plain = ToConfigJson(TinyConfig("llama"), io::FloatType::kF32);
  const io::Json llama3 = {{"rope_type", "llama3"},
                           {"factor", 32.0},
                           {"low_freq_factor", 1.0},
                           {"high_freq_factor", 4.0},
                           {"original_max_position_embeddings", 8192}};
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    io::Json json = plain;
    json[name] = llama3;
    const ModelConfig config = ParseModelConfig(json, "x");
    EXPECT_EQ(config.rope_theta, 500000);
    EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::kLlama3);
    EXPECT_EQ(config.rope_scaling.factor, 32);
    EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 8192);
    EXPECT_EQ(ParseModelConfig(ToConfigJson(config, io::FloatType::kF32), "x"), config);
    json[name] = {{"type", "linear"}, {"factor", 4}};
    EXPECT_EQ(ParseModelConfig(json, "x").rope_scaling,
              (RopeScaling{.type = RopeScaling::Type::kLinear, .factor = 4}));
  }
  io::Json both = plain;
  both["rope_scaling"] = llama3;
  both["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4}};
  EXPECT_THAT(ErrorOf(both), HasSubstr("rope_scaling and rope_parameters differ"));
}

TEST(ModelConfigJson, RefusesScalingsThatItDoesNotComputeOrThatLackAField) {
  io::Json json = ToConfigJson(TinyConfig("llama"), io::FloatType::kF32);
  const auto error_of = [&](const io::Json& scaling) {
    json["rope_scaling"] = scaling;
    return ErrorOf(json);
  };
  for (const char* type : {"yarn", "dynamic", "longrope"})
    EXPECT_THAT(error_of({{"rope_type", type}, {"factor", 4.0}}),
                HasSubstr(std::string("the type \"") + type + "\"; forge computes \"default\", \"linear\""));
  EXPECT_THAT(error_of({{"type", "linear"}}), HasSubstr("rope_scaling.factor is missing"));
  EXPECT_THAT(error_of({{"type", "linear"}, {"factor", 0.5}}), HasSubstr("0.5; it must be at least 1"));
  EXPECT_THAT(error_of({{"type", "linear"}, {"factor", 2}, {"low_freq_factor", 1}}),
              HasSubstr("does not take"));
  EXPECT_THAT(error_of({{"type", "llama3"}, {"factor", 2}}), HasSubstr("low_freq_factor is missing"));
  EXPECT_THAT(error_of({{"rope_type", "default"}, {"mrope_section", {1, 2}}}), HasSubstr("mrope_section"));
  EXPECT_THAT(error_of("linear"), HasSubstr("must be an object"));
  EXPECT_THAT(error_of({{"type", "llama3"},
                        {"factor", 8},
                        {"low_freq_factor", 4},
                        {"high_freq_factor", 4},
                        {"original_max_position_embeddings", 8192}}),
              HasSubstr("must be above 0 and rise"));
}

// Mistral 7B 0.1 has a window of 4096 in a context of 32768, and transformers takes 4096 for a missing one.
TEST(ModelConfigJson, RefusesSlidingWindowsButNotWindowsAsLongAsTheContext) {
  io::Json mistral = ToConfigJson(TinyConfig("mistral"), io::FloatType::kF32);
  EXPECT_EQ(ErrorOf(mistral), "no error");
  mistral["sliding_window"] = 64;
  EXPECT_THAT(ErrorOf(mistral), HasSubstr("sliding_window is 64; forge attends to the whole context"));
  mistral["sliding_window"] = 128;
  EXPECT_EQ(ErrorOf(mistral), "no error");
  mistral.erase("sliding_window");
  EXPECT_EQ(ErrorOf(mistral), "no error");  // 4096, the context is 128
  mistral["max_position_embeddings"] = 32768;
  EXPECT_THAT(ErrorOf(mistral), HasSubstr("sliding_window is 4096 by default"));
  io::Json qwen = ToConfigJson(TinyConfig("qwen3"), io::FloatType::kF32);
  qwen["sliding_window"] = 64;  // not used
  qwen["layer_types"] = {"full_attention", "full_attention"};
  EXPECT_EQ(ErrorOf(qwen), "no error");
  qwen["layer_types"][1] = "sliding_attention";
  EXPECT_THAT(ErrorOf(qwen), HasSubstr("layer_types has \"sliding_attention\""));
}

TEST(ModelConfigJson, RefusesWhatChangesTheComputation) {
  const auto error_of = [](const char* name, const io::Json& value) {
    io::Json json = ToConfigJson(TinyConfig("llama"), io::FloatType::kF32);
    json[name] = value;
    return ErrorOf(json);
  };
  EXPECT_THAT(error_of("attention_bias", true), HasSubstr("a bias on o_proj too"));
  EXPECT_THAT(error_of("rope_interleaved", true), HasSubstr("rope_interleaved"));
  EXPECT_THAT(error_of("use_mrope", true), HasSubstr("use_mrope"));
  EXPECT_THAT(error_of("quantization_config", {{"quant_method", "gptq"}}),
              HasSubstr("quant_method \"gptq\""));
  EXPECT_THAT(error_of("architectures", {"MistralForCausalLM"}),
              HasSubstr("expected [\"LlamaForCausalLM\"]"));
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
  json["num_attention_heads"] = 64;
  json["hidden_size"] = 128;
  EXPECT_TRUE(ParseModelConfig(json, "x").attention_bias);
  EXPECT_EQ(ParseModelConfig(json, "x").num_key_value_heads, 32);
  json["num_key_value_heads"] = nullptr;
  EXPECT_EQ(ParseModelConfig(json, "x").num_key_value_heads, 64);
  json["model_type"] = "qwen3";
  json["architectures"] = {"Qwen3ForCausalLM"};
  EXPECT_EQ(ParseModelConfig(json, "x").head_dim, 128);
}

TEST(ModelConfig, SaysWhatAnEngineDoesNotCompute) {
  ModelConfig config = TinyConfig("qwen3");
  config.rope_scaling = {.type = RopeScaling::Type::kLinear, .factor = 2};
  const auto error_of = [&](const EngineSupport& support) -> std::string {
    try {
      CheckEngineComputes(config, support, "the engine");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of({}), HasSubstr("positions scaled by \"linear\" and norms on q and k"));
  EXPECT_THAT(error_of({.rope_scaling = true}),
              HasSubstr("it has norms on q and k, which the engine does not"));
  EXPECT_EQ(error_of({.rope_scaling = true, .qk_norm = true}), "no error");
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
  EXPECT_THAT(ErrorOf({{"model_type", "mamba"}}),
              HasSubstr("choose one of llama (Llama 2 and 3, SmolLM, SmolLM2), mistral"));
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
