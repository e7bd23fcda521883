// SPDX-License-Identifier: Apache-2.0
#include "model/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/float16.h"
#include "io/atomic_file.h"
#include "model/gguf_config.h"
#include "model/gguf_size.h"
#include "model/rope.h"
#include "model/testing_models.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using io::BlockType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RandomWeights;
using testing::SharedFolder;
using testing::TinyConfig;

class GgufModel : public ::testing::Test {
 protected:
  ~GgufModel() override { fs::remove(path_); }
  fs::path path_ = fs::temp_directory_path() / ("forge_gguf_model_" + std::to_string(getpid()) + ".gguf");
};

RopeScaling Llama3() {
  return {.type = RopeScaling::Type::kLlama3,
          .factor = 8,
          .low_freq_factor = 1,
          .high_freq_factor = 4,
          .original_max_position_embeddings = 8192};
}

TEST(GgufName, MapsEveryTensorToItsOwnName) {
  ModelConfig config = TinyConfig("qwen3");
  config.tie_word_embeddings = false;
  config.attention_bias = true;  // no model has both; here they are only names
  std::set<std::string> names;
  for (const TensorSpec& spec : ListTensors(config)) names.insert(GgufName(spec.name));
  EXPECT_EQ(names.size(), ListTensors(config).size());
  EXPECT_EQ(GgufName("model.layers.11.self_attn.o_proj.weight"), "blk.11.attn_output.weight");
  EXPECT_EQ(GgufName("model.layers.0.self_attn.q_norm.weight"), "blk.0.attn_q_norm.weight");
}

// Heads of 4 rows: half-split [0 1 | 2 3] becomes pairs [0 2 1 3].
TEST(HuggingFaceRow, InterleavesTheHalvesOfEachHead) {
  std::vector<std::int64_t> rows;
  for (int row = 0; row < 8; ++row) rows.push_back(HuggingFaceRow(row, 4));
  EXPECT_THAT(rows, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
}

TEST_F(GgufModel, GivesBackWhatWasSaved) {
  for (const char* type : {"qwen2", "llama", "qwen3"}) {
    for (const bool tied : {true, false}) {
      ModelConfig config = TinyConfig(type);
      config.tie_word_embeddings = tied;
      config.attention_bias = config.model_type != "qwen3";
      config.head_dim = tied ? 16 : 8;  // 8: not hidden_size / heads
      const ModelWeights weights = RandomWeights(config);
      SaveGguf(path_, config, GgufTensorsOf(config, weights, BlockType::kF32, BlockType::kF32), {}, "tiny");
      const ModelFolder loaded = LoadGguf(path_);
      EXPECT_EQ(loaded.config, config);
      EXPECT_EQ(loaded.weights, weights);
    }
  }
}

TEST_F(GgufModel, KnowsHowLargeAFileWillBe) {
  ModelConfig config = TinyConfig("llama");
  config.vocab_size = 41;  // tables that are no multiple of the alignment
  config.tie_word_embeddings = false;
  config.rope_scaling = Llama3();
  const ModelWeights weights = RandomWeights(config);
  const io::GgufMetadata tokenizer = {{"tokenizer.ggml.model", std::string("gpt2")}};
  for (const auto& [linears, tables] :
       {std::pair{BlockType::kQ4_0, BlockType::kQ5_1}, std::pair{BlockType::kQ5_0, BlockType::kF16},
        std::pair{BlockType::kQ8_0, BlockType::kQ4_1}}) {
    SaveGguf(path_, config, GgufTensorsOf(config, weights, linears, tables), tokenizer, "tiny");
    EXPECT_EQ(GgufBytes(
                  config, [&](const TensorSpec& spec) { return IsLinear(spec) ? linears : tables; },
                  tokenizer, "tiny"),
              std::filesystem::file_size(path_));
  }
}

// Both are computed alike, and GGUF has one name for them.
TEST_F(GgufModel, StoresMistralAsLlama) {
  const ModelConfig config = TinyConfig("mistral");
  const ModelWeights weights = RandomWeights(config);
  SaveGguf(path_, config, GgufTensorsOf(config, weights, BlockType::kF32, BlockType::kF32), {}, "tiny");
  const ModelFolder loaded = LoadGguf(path_);
  EXPECT_EQ(loaded.config, TinyConfig("llama"));
  EXPECT_EQ(loaded.weights, weights);
}

TEST_F(GgufModel, KeepsTheScalingOfPositions) {
  ModelConfig config = TinyConfig("llama");
  const ModelWeights weights = RandomWeights(config);
  const std::vector<GgufTensor> tensors = GgufTensorsOf(config, weights, BlockType::kF32, BlockType::kF32);
  const auto saved = [&](const RopeScaling& scaling) {
    config.rope_scaling = scaling;
    SaveGguf(path_, config, tensors, {}, "tiny");
    return LoadGguf(path_).config.rope_scaling;
  };
  const RopeScaling linear = {.type = RopeScaling::Type::kLinear, .factor = 2.5};
  EXPECT_EQ(saved(linear), linear);
  EXPECT_EQ(io::GgufFile(path_).Find("rope_freqs.weight"), nullptr);
  for (const double low : {1.0, 1.25}) {  // Meta's constants, and others, which come back by our own keys
    const RopeScaling llama3 = {.type = RopeScaling::Type::kLlama3,
                                .factor = 8,
                                .low_freq_factor = low,
                                .high_freq_factor = 4,
                                .original_max_position_embeddings = 8192};
    EXPECT_EQ(saved(llama3), llama3);
    EXPECT_EQ(io::GgufFile(path_).Find("rope_freqs.weight")->size(), 8u);
  }
  config = TinyConfig("qwen2");
  config.rope_scaling = Llama3();
  const ModelWeights others = RandomWeights(config);
  EXPECT_THROW(
      SaveGguf(path_, config, GgufTensorsOf(config, others, BlockType::kF32, BlockType::kF32), {}, ""),
      Error);
}

/// A file of this metadata and rope_freqs.weight of these values, without the weights of the model.
std::string ErrorOfDivisors(const fs::path& path, io::GgufMetadata metadata,
                            const std::vector<float>& divisors) {
  io::GgufMetadata all = ShapeMetadata(TinyConfig("llama"));
  metadata.insert(all.begin(), all.end());
  io::GgufWriter writer(
      path, metadata, {{"rope_freqs.weight", {static_cast<std::int64_t>(divisors.size())}, BlockType::kF32}});
  writer.Write(std::as_bytes(std::span(divisors)));
  writer.Finish();
  try {
    GgufConfig(io::GgufFile(path));
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(GgufModel, RefusesScalingsThatItDoesNotCompute) {
  const std::vector<float> ones(8, 1), odd = {1, 1, 1, 3, 3, 8, 8, 8};
  EXPECT_THAT(ErrorOfDivisors(path_, {}, odd), HasSubstr("not the scaling of Llama 3"));
  EXPECT_THAT(ErrorOfDivisors(path_, {}, {1, 1}), HasSubstr("2 elements, not head_dim / 2 = 8"));
  EXPECT_THAT(ErrorOfDivisors(path_, {}, ones), Not(HasSubstr("rope")));
  EXPECT_THAT(ErrorOfDivisors(path_, {{"llama.rope.scaling.type", std::string("longrope")}}, ones),
              HasSubstr("longrope"));
  EXPECT_THAT(ErrorOfDivisors(path_, {{"llama.attention.sliding_window", std::uint32_t{64}}}, ones),
              HasSubstr("sliding_window is 64"));
  EXPECT_THAT(ErrorOfDivisors(path_, {{"llama.expert_count", std::uint32_t{8}}}, ones),
              HasSubstr("mixtures of experts"));
  // Divisors of Llama 3.1 together with a linear factor.
  ModelConfig llama3 = TinyConfig("llama");
  llama3.rope_scaling = Llama3();
  std::vector<float> divisors;
  for (const double divisor : RopeDivisors(llama3)) divisors.push_back(static_cast<float>(divisor));
  EXPECT_THAT(ErrorOfDivisors(path_, {{"llama.rope.scale_linear", 2.0f}}, divisors),
              HasSubstr("rope_freqs.weight and a linear scaling factor"));
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

TEST_F(GgufModel, AddsASecondTernaryPlane) {
  const ModelConfig config = TinyConfig("llama");
  ModelWeights weights = RandomWeights(config);
  std::map<std::string, TernaryTensor> planes[2];
  std::vector<GgufTensor> tensors = GgufTensorsOf(config, weights, BlockType::kQ2_0, BlockType::kF32);
  Random random(1, "gguf_model_test");
  for (GgufTensor& tensor : tensors) {
    if (tensor.type != BlockType::kQ2_0) continue;
    Tensor& sum = weights.at(tensor.name);
    std::fill(sum.values.begin(), sum.values.end(), 0.0f);
    for (auto& plane : planes) {
      TernaryTensor& ternary = plane[tensor.name];
      ternary.shape = sum.shape;
      for (std::size_t i = 0; i < sum.values.size(); ++i) {
        if (i % 64 == 0) ternary.scales.push_back(RoundToHalf(0.01f + static_cast<float>(random.Uniform())));
        ternary.codes.push_back(static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1));
        sum.values[i] += static_cast<float>(ternary.codes.back()) * ternary.scales.back();
      }
    }
    tensor.values = {};
    tensor.codes = planes[0][tensor.name].codes;
    tensor.scales = planes[0][tensor.name].scales;
    tensor.second_codes = planes[1][tensor.name].codes;
    tensor.second_scales = planes[1][tensor.name].scales;
    tensor.group_size = 64;
  }
  SaveGguf(path_, config, tensors, {}, "tiny");
  EXPECT_EQ(LoadGguf(path_).weights, weights);
  const auto source = OpenGguf(path_);
  for (const TensorSpec& spec : ListTensors(config))
    if (IsLinear(spec)) {
      EXPECT_EQ(source->TernaryGroup(spec), 0);
      EXPECT_EQ(source->TwoPlaneGroup(spec), 64);
      for (int plane = 0; plane < 2; ++plane) {
        const TernaryTensor read = source->ReadTernaryPlane(spec, plane),
                            &written = planes[plane].at(spec.name);
        for (std::size_t i = 0; i < read.codes.size(); ++i)
          ASSERT_EQ(read.codes[i] * read.scales[i / 64], written.codes[i] * written.scales[i / 64]) << i;
      }
      EXPECT_FALSE(source->FindStoredRows(spec));
      EXPECT_EQ(source->StoredType(spec), "Q2_0 twice");
    }
}

TEST_F(GgufModel, ReadsAllFourCodesOfQ2_0AsValuesThatAreNotTernary) {
  const ModelConfig config = TinyConfig("llama");
  ModelWeights weights = RandomWeights(config);
  std::vector<GgufTensor> tensors = GgufTensorsOf(config, weights, BlockType::kQ2_0, BlockType::kF32);
  Random random(1, "gguf_model_test");
  std::map<std::string, std::vector<std::byte>> blocks;
  for (GgufTensor& tensor : tensors) {
    if (tensor.type != BlockType::kQ2_0) continue;
    std::vector<float>& values = weights.at(tensor.name).values;
    std::vector<std::byte>& bytes = blocks[tensor.name];
    bytes.resize(values.size() / 64 * 18);
    for (std::size_t b = 0; b < values.size() / 64; ++b) {
      const std::uint16_t half = FloatToHalf(static_cast<float>(random.Uniform() - 0.5));
      std::memcpy(bytes.data() + 18 * b, &half, 2);
      for (std::size_t i = 0; i < 16; ++i) bytes[18 * b + 2 + i] = static_cast<std::byte>(random.Below(256));
    }
    // One linear with three codes only, but for its last weight.
    if (tensor.name == "model.layers.0.mlp.down_proj.weight")
      for (std::size_t i = 0; i < bytes.size(); ++i)
        if (i % 18 >= 2) bytes[i] = i + 1 == bytes.size() ? std::byte{0xC0} : std::byte{0x24};
    io::DecodeBlocks(BlockType::kQ2_0, bytes, values);
    tensor.values = {};
    tensor.blocks = bytes;
  }
  SaveGguf(path_, config, tensors, {}, "tiny");
  const auto source = OpenGguf(path_);
  for (const TensorSpec& spec : ListTensors(config)) {
    EXPECT_EQ(source->TernaryGroup(spec), 0) << spec.name;
    EXPECT_EQ(source->Read(spec), weights.at(spec.name));
  }
}

TEST_F(GgufModel, BlocksAreWrittenAsTheyAre) {
  const ModelConfig config = TinyConfig("llama");
  ModelWeights weights = RandomWeights(config);
  std::map<std::string, std::vector<std::byte>> blocks;
  std::vector<GgufTensor> tensors = GgufTensorsOf(config, weights, BlockType::kQ8_0, BlockType::kF32);
  for (GgufTensor& tensor : tensors) {
    if (tensor.type != BlockType::kQ8_0) continue;
    std::vector<float>& values = weights.at(tensor.name).values;
    std::vector<std::byte>& bytes = blocks[tensor.name];
    bytes.resize(io::RowBytes(BlockType::kQ8_0, values.size()));
    io::EncodeBlocks(BlockType::kQ8_0, values, bytes);
    io::DecodeBlocks(BlockType::kQ8_0, bytes, values);
    tensor.values = {};
    tensor.blocks = bytes;
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
              HasSubstr("forge knows llama (Llama 2 and 3"));
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
