// SPDX-License-Identifier: Apache-2.0
#include "model/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/float16.h"
#include "io/atomic_file.h"
#include "model/testing_models.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using io::BlockType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RandomWeights;
using testing::SharedFolder;
using testing::TinyConfig;

class GgufModel : public ::testing::Test {
 protected:
  ~GgufModel() override { fs::remove(path_); }
  fs::path path_ = fs::temp_directory_path() / ("forge_gguf_model_" + std::to_string(getpid()) + ".gguf");
};

TEST(GgufName, MapsEveryTensorToItsOwnName) {
  ModelConfig config = TinyConfig();
  config.tie_word_embeddings = false;
  std::set<std::string> names;
  for (const TensorSpec& spec : ListTensors(config)) names.insert(GgufName(spec.name));
  EXPECT_EQ(names.size(), ListTensors(config).size());
  EXPECT_EQ(GgufName("model.layers.11.self_attn.o_proj.weight"), "blk.11.attn_output.weight");
}

// Heads of 4 rows: half-split [0 1 | 2 3] becomes pairs [0 2 1 3].
TEST(HuggingFaceRow, InterleavesTheHalvesOfEachHead) {
  std::vector<std::int64_t> rows;
  for (int row = 0; row < 8; ++row) rows.push_back(HuggingFaceRow(row, 4));
  EXPECT_THAT(rows, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
}

TEST_F(GgufModel, GivesBackWhatWasSaved) {
  for (const char* type : {"qwen2", "llama"}) {
    for (const bool tied : {true, false}) {
      ModelConfig config = TinyConfig(type);
      config.tie_word_embeddings = tied;
      config.attention_bias = true;
      config.head_dim = tied ? 16 : 8;  // 8: not hidden_size / heads
      const ModelWeights weights = RandomWeights(config);
      SaveGguf(path_, config, GgufTensorsOf(config, weights, BlockType::kF32, BlockType::kF32), {}, "tiny");
      const ModelFolder loaded = LoadGguf(path_);
      EXPECT_EQ(loaded.config, config);
      EXPECT_EQ(loaded.weights, weights);
    }
  }
}

TEST_F(GgufModel, StoresTernaryCodesWithTheScaleOfTheirGroup) {
  const ModelConfig config = TinyConfig("llama");
  ModelWeights weights = RandomWeights(config);
  std::map<std::string, std::vector<std::int8_t>> codes;
  std::map<std::string, std::vector<float>> scales;
  std::vector<GgufTensor> tensors = GgufTensorsOf(config, weights, BlockType::kQ2_0, BlockType::kF32);
  Random random(1, "gguf_model_test");
  for (GgufTensor& tensor : tensors) {
    if (tensor.type != BlockType::kQ2_0) continue;
    std::vector<float>& values = weights.at(tensor.name).values;
    for (std::size_t group = 0; group < values.size() / 64; ++group) {
      const float scale = RoundToHalf(0.01f + static_cast<float>(random.Uniform()));
      scales[tensor.name].push_back(scale);
      for (std::size_t i = group * 64; i < group * 64 + 64; ++i) {
        const int code = static_cast<int>(random.Below(3)) - 1;
        codes[tensor.name].push_back(static_cast<std::int8_t>(code));
        values[i] = static_cast<float>(code) * scale;
      }
    }
    tensor.values = {};
    tensor.codes = codes.at(tensor.name);
    tensor.scales = scales.at(tensor.name);
    tensor.group_size = 64;
  }
  SaveGguf(path_, config, tensors, {}, "tiny");
  EXPECT_EQ(LoadGguf(path_).weights, weights);
}

TEST_F(GgufModel, RefusesRowsThatDoNotFillTheBlocks) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = RandomWeights(config);
  try {
    SaveGguf(path_, config, GgufTensorsOf(config, weights, BlockType::kTQ2_0, BlockType::kF16), {}, "tiny");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("rows of 64 weights; TQ2_0 stores blocks of 256"));
    EXPECT_THAT(error.what(), HasSubstr("Q2_0"));
  }
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(GgufModel, RefusesATokenizerOfAnotherSize) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = RandomWeights(config);
  const io::GgufMetadata tokenizer = {
      {"tokenizer.ggml.tokens", io::GgufArray(std::vector<std::string>{"a"})}};
  EXPECT_THROW(SaveGguf(path_, config, GgufTensorsOf(config, weights, BlockType::kF32, BlockType::kF32),
                        tokenizer, ""),
               Error);
}

TEST_F(GgufModel, RefusesScaledPositionsAndOtherArchitectures) {
  const auto error_of = [&](const io::GgufMetadata& metadata) -> std::string {
    io::GgufWriter(path_, metadata, {}).Finish();
    try {
      LoadGguf(path_);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of({}), HasSubstr("general.architecture is missing"));
  EXPECT_THAT(error_of({{"general.architecture", std::string("mamba")}}),
              HasSubstr("forge knows llama and qwen2"));
  const std::string text = error_of(
      {{"general.architecture", std::string("llama")}, {"llama.rope.scaling.type", std::string("yarn")}});
  for (const char* part :
       {"llama.block_count is missing", "layer_norm_rms_epsilon is missing", "\"yarn\"", "token_embd"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST_F(GgufModel, SurvivesRandomDamage) {
  const ModelConfig config = TinyConfig("llama");
  const ModelWeights weights = RandomWeights(config);
  SaveGguf(path_, config, GgufTensorsOf(config, weights, BlockType::kQ8_0, BlockType::kQ2_0), {}, "tiny");
  const std::string whole = io::ReadFile(path_);
  Random random(1, "gguf_model_test");
  for (int trial = 0; trial < 1000; ++trial) {
    std::string damaged = whole;
    damaged[random.Below(2500)] = static_cast<char>(random.Below(256));
    if (trial % 5 == 0) damaged.resize(random.Below(static_cast<std::uint32_t>(whole.size())));
    std::ofstream(path_, std::ios::binary) << damaged;
    try {
      LoadGguf(path_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
    }
  }
}

// The same weights as safetensors and as GGUF, made by another program: equal to the last bit, q and k
// included.
TEST(GgufModelGolden, ReadsTheSameModelAsSafetensors) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/stories260K_llama");
  for (const char* name : {"stories260K_llama", "qwen2_tiny_random"}) {
    const fs::path folder = SharedFolder() / "data/golden" / name;
    const ModelFolder expected = LoadModelFolder(folder), loaded = LoadGguf(folder / "model-f32.gguf");
    EXPECT_EQ(loaded.weights, expected.weights) << name;
    EXPECT_EQ(loaded.config.rope_theta, expected.config.rope_theta);
    EXPECT_EQ(loaded.config.rms_norm_eps, expected.config.rms_norm_eps);
    EXPECT_EQ(loaded.config.eos_token_ids, expected.config.eos_token_ids);
    EXPECT_EQ(loaded.config.tie_word_embeddings, expected.config.tie_word_embeddings);
  }
}

TEST(GgufModelGolden, ReadsSmolLm2) {
  FORGE_SKIP_WITHOUT_SHARED("data/models/smollm2-135m-instruct");
  const ModelFolder model =
      LoadGguf(SharedFolder() / "data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_EQ(CountParameters(model.config), 134515008);
  EXPECT_EQ(model.config.head_dim, 64);
  EXPECT_EQ(model.config.rope_theta, 100000);
  EXPECT_THAT(model.config.eos_token_ids, ElementsAre(2));
}

}  // namespace
}  // namespace forge::model
