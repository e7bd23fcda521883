// SPDX-License-Identifier: Apache-2.0
#include "compress/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/testing_folder.h"
#include "io/atomic_file.h"
#include "model/ternary_gguf.h"
#include "model/testing_models.h"

namespace forge::compress {
namespace {

using model::ModelConfig;
using model::ModelWeights;
using model::testing::RandomWeights;
using model::testing::TinyConfig;
using ::testing::HasSubstr;

const std::vector<int> kTokens{7, 1, 33, 12, 12, 0, 39, 5, 20, 21, 22};

ModelConfig WideConfig(const std::string& type) {
  ModelConfig config = TinyConfig(type);
  config.hidden_size = config.intermediate_size = 256;
  config.head_dim = 64;
  config.num_hidden_layers = 1;
  return config;
}

class Export : public ::testing::Test {
 protected:
  testing::TestFolder folder_;
};

TEST_F(Export, LoadsBackAsTheSameCodesAndRunsToTheSameBits) {
  for (const char* type : {"qwen2", "llama"})
    for (const io::BlockType block : {io::BlockType::kQ2_0, io::BlockType::kTQ2_0, io::BlockType::kTQ1_0}) {
      ModelConfig config = WideConfig(type);
      config.tie_word_embeddings = std::string(type) == "qwen2";
      const int group = block == io::BlockType::kQ2_0 ? 64 : 256;
      const CompressedModel model = Ternarize(config, RandomWeights(config), group, {});
      const auto path = folder_.path() / "model.gguf";
      ExportGguf(path, model, {.linears = block}, {}, "tiny");
      const model::TernaryModel loaded = model::LoadTernaryGguf(path);
      EXPECT_EQ(loaded.config, config);
      EXPECT_EQ(loaded.weights, model.weights);
      ASSERT_EQ(loaded.ternary.size(), 7u);
      for (const auto& [name, tensor] : model.ternary) {
        EXPECT_EQ(loaded.ternary.at(name).codes, tensor.codes) << name;
        EXPECT_EQ(loaded.ternary.at(name).scales, tensor.scales) << name;
        EXPECT_EQ(loaded.ternary.at(name).group, group);
      }
      const auto logits = runtime::NativeModel(config, model.weights, {}, model.ternary).Logits(kTokens);
      for (const auto table : {runtime::WeightType::kFloat32, runtime::WeightType::kInt8})
        EXPECT_EQ(runtime::NativeModel(loaded.config, loaded.weights, {.embeddings = table}, loaded.ternary)
                      .Logits(kTokens),
                  logits);
      // LoadGguf sees the same model as floats.
      const model::ModelFolder floats = model::LoadGguf(path);
      EXPECT_EQ(runtime::NativeModel(config, floats.weights).Logits(kTokens), logits);
    }
}

TEST_F(Export, KeepsLinearsOfOtherTypesAsFloats) {
  const ModelConfig config = TinyConfig();
  CompressedModel model = Ternarize(config, RandomWeights(config), 64, {});
  // v_proj stays as it was: q, k, v cannot be packed as ternary then.
  model.ternary.erase("model.layers.0.self_attn.v_proj.weight");
  model.weights["model.layers.0.self_attn.v_proj.weight"] =
      RandomWeights(config).at("model.layers.0.self_attn.v_proj.weight");
  ExportGguf(folder_.path() / "model.gguf", model, {}, {}, "tiny");
  const model::TernaryModel loaded = model::LoadTernaryGguf(folder_.path() / "model.gguf");
  EXPECT_EQ(loaded.ternary.size(), 11u);
  EXPECT_FALSE(loaded.ternary.contains("model.layers.0.self_attn.q_proj.weight"));
  runtime::NativeModel(loaded.config, loaded.weights, {}, loaded.ternary).Logits(kTokens);
}

TEST_F(Export, TheLoaderReadsAGroupThatIsNotTernaryAsValues) {
  const ModelConfig config = TinyConfig();
  const CompressedModel model = Ternarize(config, RandomWeights(config), 64, {});
  const auto path = folder_.path() / "model.gguf";
  ExportGguf(path, model, {}, {}, "tiny");
  std::string bytes = io::ReadFile(path);
  const io::GgufFile file(path);
  // The data end with the file, so the distance to its end is known.
  const auto end_of = [](const io::GgufFile::Entry& entry) {
    return entry.bytes.data() + entry.bytes.size();
  };
  const auto start = file.Find("blk.1.ffn_down.weight")->bytes.data();
  std::size_t offset = 0;
  for (const auto& entry : file.entries())
    offset = std::max(offset, static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, end_of(entry) - start)));
  offset = bytes.size() - offset;
  bytes[offset + 2] = static_cast<char>(0b00'10'00'11);  // codes +2, -1, +1, -1
  io::WriteFileAtomically(path, bytes);
  const model::TernaryModel loaded = model::LoadTernaryGguf(path);
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_FALSE(loaded.ternary.contains(name));
  EXPECT_EQ(loaded.ternary.size(), model.ternary.size() - 1);
  const float scale = model.ternary.at(name).scales[0];
  EXPECT_EQ(loaded.weights.at(name).values[0], 2 * scale);
  EXPECT_EQ(loaded.weights.at(name).values[1], -scale);
}

TEST_F(Export, RefusesRowsThatDoNotFillTheBlocks) {
  const ModelConfig config = TinyConfig();
  try {
    Ternarize(config, RandomWeights(config), 256, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.layers.1.self_attn.q_proj.weight has rows of 64"));
    EXPECT_THAT(error.what(), HasSubstr("model.layers.0.mlp.down_proj.weight has rows of 128"));
  }
}

}  // namespace
}  // namespace forge::compress
