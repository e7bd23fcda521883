// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "model/gguf_model.h"
#include "model/testing_models.h"
#include "runtime/native_model.h"
#include "text/byte_tokenizer.h"
#include "text/gguf_tokenizer.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

class ModelSource : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("forge-model-source-test-" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(ModelSource, RunsACompressedFileOnTernaryWeightsWithTheSameResult) {
  model::ModelConfig config = model::testing::TinyConfig();
  config.vocab_size = text::kByteVocabSize;
  config.eos_token_ids = {text::kByteEndOfText};
  const model::ModelWeights weights = model::testing::RandomWeights(config);
  std::map<std::string, std::pair<std::vector<std::int8_t>, std::vector<float>>> ternary;
  std::vector<model::GgufTensor> tensors =
      model::GgufTensorsOf(config, weights, io::BlockType::kQ2_0, io::BlockType::kQ8_0);
  for (model::GgufTensor& tensor : tensors) {
    if (tensor.type != io::BlockType::kQ2_0) continue;
    auto& [codes, scales] = ternary[tensor.name];
    for (const float value : tensor.values)
      codes.push_back(static_cast<std::int8_t>(value > 0.05f ? 1 : value < -0.05f ? -1 : 0));
    scales.assign(codes.size() / 64, 0.125f);
    tensor = {.name = tensor.name,
              .type = io::BlockType::kQ2_0,
              .values = {},
              .codes = codes,
              .scales = scales,
              .group_size = 64};
  }
  model::SaveGguf(folder_ / "small.gguf", config, tensors,
                  text::ToGgufMetadata(text::MakeByteTokenizer(), config.vocab_size), "small");

  LoadedModel loaded = LoadModel(folder_ / "small.gguf");
  EXPECT_EQ(loaded.ternary.size(), ternary.size());
  const std::vector<int> ids = loaded.tokenizer->Encode("seven words");
  runtime::PackedWeights packed = LoadModelToRun(loaded.path).weights;
  EXPECT_EQ(packed.embedding.type(), runtime::WeightType::kInt8);
  EXPECT_EQ(packed.layers[1].gate_up.type(), runtime::WeightType::kTernary);
  runtime::NativeModel narrow(std::move(packed));
  const std::vector<float> expected = narrow.Logits(ids);
  WidenTernary(loaded);
  EXPECT_TRUE(loaded.ternary.empty());
  runtime::NativeModel wide(loaded.config, loaded.weights);
  EXPECT_EQ(wide.Logits(ids), expected);  // to the bit
  EXPECT_LT(narrow.weight_bytes() * 3, wide.weight_bytes());
}

TEST_F(ModelSource, SaysWhereToGetAModelThatIsNotThere) {
  const auto fix = [&](const std::string& name) -> std::string {
    try {
      ResolveModel(name, folder_);
    } catch (const Error& error) {
      return error.fields().fix;
    }
    return "";
  };
  EXPECT_NE(fix("qwen2").find("forge pull Qwen/Qwen2-1.5B-Instruct"), std::string::npos);
  EXPECT_NE(fix("owner/name").find("forge pull owner/name"), std::string::npos);
  EXPECT_EQ(fix("/some/path").find("forge pull"), std::string::npos);
  EXPECT_EQ(fix("./path").find("forge pull"), std::string::npos);
  fs::create_directories(folder_ / "Qwen2-1.5B-Instruct");
  EXPECT_EQ(ResolveModel("qwen2", folder_), folder_ / "Qwen2-1.5B-Instruct");
}

}  // namespace
}  // namespace forge::pipeline
