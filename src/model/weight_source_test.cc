// SPDX-License-Identifier: Apache-2.0
#include "model/weight_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/error.h"
#include "io/atomic_file.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"
#include "model/testing_models.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using io::BlockType;
using ::testing::HasSubstr;
using testing::RandomWeights;
using testing::TinyConfig;

class WeightSourceTest : public ::testing::Test {
 protected:
  WeightSourceTest() { fs::create_directories(folder_); }
  ~WeightSourceTest() override { fs::remove_all(folder_); }

  /// What SaveGguf from this source says.
  std::string ErrorOf(const WeightSource& source, BlockType type) {
    try {
      SaveGguf(
          folder_ / "out.gguf", source, [&](const TensorSpec&) { return type; }, {}, "x");
    } catch (const Error& error) {
      EXPECT_FALSE(fs::exists(folder_ / "out.gguf"));
      return error.what();
    }
    return "no error";
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge_weight_source_" + std::to_string(getpid()));
};

/// A llama whose q rows are cut by pieces and heads, with biases.
ModelConfig WideLlama() {
  ModelConfig config = TinyConfig("llama");
  config.attention_bias = true;
  config.hidden_size = 24'000;  // 43 rows in a piece: not a multiple of the 16 rows of a head
  config.intermediate_size = 32;
  config.num_hidden_layers = 1;
  return config;
}

TEST_F(WeightSourceTest, WritesTheSameGgufPieceByPieceAsFromMemory) {
  for (const ModelConfig& config : {TinyConfig("qwen2"), TinyConfig("qwen3"), WideLlama()}) {
    const ModelWeights weights = RandomWeights(config);
    for (const BlockType type : {BlockType::kF32, BlockType::kQ8_0}) {
      SaveGguf(folder_ / "memory.gguf", config, GgufTensorsOf(config, weights, type, type), {}, "x");
      SaveGguf(
          folder_ / "pieces.gguf", *WeightsInMemory(config, weights), [&](const TensorSpec&) { return type; },
          {}, "x");
      EXPECT_EQ(io::ReadFile(folder_ / "pieces.gguf"), io::ReadFile(folder_ / "memory.gguf"));
    }
    const auto file = OpenGguf(folder_ / "pieces.gguf");
    for (const TensorSpec& spec : ListTensors(config)) {  // rows from the middle are those of the whole
      const Tensor whole = file->Read(spec);
      const std::int64_t first = Rows(spec) / 3;
      std::vector<float> rest(static_cast<std::size_t>(Rows(spec) - first) * Columns(spec));
      file->ReadRows(spec, first, rest);
      EXPECT_TRUE(std::equal(rest.rbegin(), rest.rend(), whole.values.rbegin())) << spec.name;
    }
  }
}

TEST_F(WeightSourceTest, KeepsTheBytesOfTensorsThatAreStoredSoAlready) {
  const ModelConfig config = TinyConfig("llama");
  const ModelWeights weights = RandomWeights(config);
  SaveGguf(folder_ / "in.gguf", config, GgufTensorsOf(config, weights, BlockType::kQ4_0, BlockType::kQ8_0),
           {}, "x");
  const auto source = OpenGguf(folder_ / "in.gguf");
  SaveGguf(
      folder_ / "out.gguf", *source,
      [&](const TensorSpec& spec) { return *io::FindBlockType(source->StoredType(spec)); }, {}, "x");
  EXPECT_EQ(io::ReadFile(folder_ / "out.gguf"), io::ReadFile(folder_ / "in.gguf"));
}

// forge writes no Q4_K: a file of zero weights in it is made by hand.
TEST_F(WeightSourceTest, CopiesTypesThatItDoesNotEncode) {
  ModelConfig config = TinyConfig();
  config.hidden_size = config.intermediate_size = 256;
  config.head_dim = 64;
  const ModelWeights weights = RandomWeights(config);
  SaveGguf(folder_ / "f32.gguf", config, GgufTensorsOf(config, weights, BlockType::kF32, BlockType::kF32), {},
           "x");
  const io::GgufFile f32(folder_ / "f32.gguf");
  std::vector<io::GgufWriter::Declaration> declarations;
  for (const auto& entry : f32.entries())
    declarations.push_back(
        {entry.name, entry.shape, entry.shape.size() == 2 ? BlockType::kQ4_K : BlockType::kF32});
  io::GgufWriter writer(folder_ / "in.gguf", f32.metadata(), declarations);
  for (const auto& declaration : declarations)
    writer.Write(std::vector<std::byte>(io::GgufWriter::TensorBytes(declaration)));
  writer.Finish();
  const auto source = OpenGguf(folder_ / "in.gguf");
  const io::GgufMetadata none;
  SaveGguf(
      folder_ / "out.gguf", *source, [](const TensorSpec&) { return BlockType::kQ4_K; }, none, "x");
  EXPECT_EQ(io::GgufFile(folder_ / "out.gguf").Find("blk.0.ffn_up.weight")->type, BlockType::kQ4_K);
  EXPECT_EQ(OpenGguf(folder_ / "out.gguf")->ReadAll(), source->ReadAll());
}

TEST_F(WeightSourceTest, RefusesWhatTheTypeCannotHold) {
  const ModelConfig config = TinyConfig();
  ModelWeights weights = RandomWeights(config);
  float& value = weights.at("model.layers.1.mlp.up_proj.weight").values[100];
  value = 1e5f;
  const auto source = WeightsInMemory(config, weights);
  EXPECT_THAT(ErrorOf(*source, BlockType::kF16), HasSubstr("it holds 100000; float16"));
  EXPECT_THAT(ErrorOf(*source, BlockType::kQ4_1), HasSubstr("ends at 65504"));
  EXPECT_EQ(ErrorOf(*source, BlockType::kBF16), "no error");
  fs::remove(folder_ / "out.gguf");
  EXPECT_THAT(ErrorOf(*source, BlockType::kQ2_0), HasSubstr("more than one magnitude"));
  value = 3.4e38f;
  EXPECT_THAT(ErrorOf(*source, BlockType::kBF16), HasSubstr("bfloat16 ends at 3.38953e+38"));
  EXPECT_THROW(SaveModelFolder(folder_ / "out", *source, {.type = io::FloatType::kBF16}), Error);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  value = NAN;
  EXPECT_THAT(ErrorOf(*source, BlockType::kF32), HasSubstr("up_proj.weight holds nan at element 100"));
}

TEST_F(WeightSourceTest, WritesAndReadsShards) {
  const ModelConfig config = TinyConfig("llama");
  const ModelWeights weights = RandomWeights(config);
  SaveModelFolder(folder_ / "out", *WeightsInMemory(config, weights),
                  {.type = io::FloatType::kF32, .max_shard_bytes = 100'000});
  EXPECT_FALSE(fs::exists(folder_ / "out/model.safetensors"));
  EXPECT_TRUE(fs::exists(folder_ / "out/model-00002-of-00004.safetensors"));
  EXPECT_EQ(LoadModelFolder(folder_ / "out").weights, weights);
  const auto source = OpenModelFolder(folder_ / "out");
  EXPECT_EQ(source->StoredType(ListTensors(config)[0]), "F32");
}

TEST_F(WeightSourceTest, SeesWrongTensorsBeforeReadingThem) {
  ModelConfig config = TinyConfig();
  SaveModelFolder(folder_ / "out", config, RandomWeights(config), io::FloatType::kF32, "");
  config.vocab_size = 41;
  io::WriteJsonFile(folder_ / "out/config.json", ToConfigJson(config, io::FloatType::kF32));
  try {
    OpenModelFolder(folder_ / "out");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("has the shape [40, 64], the config asks for [41, 64]"));
  }
}

}  // namespace
}  // namespace forge::model
