// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_merge.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "io/atomic_file.h"
#include "model/gguf_model.h"
#include "model/lora.h"
#include "pipeline/model_reference.h"
#include "pipeline/testing_merges.h"

namespace forge::pipeline {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr const char* kUpProjection = "model.layers.1.mlp.up_proj.weight";
constexpr const char* kLinear = R"(
merge_method: linear
models:
  - {model: "@a", parameters: {weight: 1}}
  - {model: "@b", parameters: {weight: 1}}
)";
constexpr const char* kDareTies = R"(
merge_method: dare_ties
base_model: "@a"
models:
  - {model: "@b", parameters: {weight: 1, density: 0.5}}
)";

/// Two models of random weights, a and b, without tokenizers.
class ModelMerges : public testing::MergeFolder {
 protected:
  void SetUp() override {
    MergeFolder::SetUp();
    Save("a", config_, a_);
    Save("b", config_, b_);
  }
  model::ModelWeights Merged(const std::string& out = "out") const {
    return model::LoadModelFolder(folder_ / out).weights;
  }

  model::ModelConfig config_ = model::testing::TinyConfig();
  model::ModelWeights a_ = model::testing::RandomWeights(config_, 1),
                      b_ = model::testing::RandomWeights(config_, 2);
};

TEST_F(ModelMerges, LinearOfTwoFoldersIsTheMeanOfTheirWeights) {
  const io::Json report = Merge(kLinear);
  const model::ModelFolder merged = model::LoadModelFolder(folder_ / "out");
  EXPECT_EQ(merged.config, config_);
  ASSERT_EQ(merged.weights.size(), a_.size());
  for (const auto& [name, tensor] : merged.weights)
    for (std::size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_FLOAT_EQ(tensor.values[i], (a_.at(name).values[i] + b_.at(name).values[i]) / 2)
          << name << " " << i;
  EXPECT_EQ(io::ReadJsonFile(folder_ / "out/merge_report.json"), report);
  EXPECT_EQ(report["models"][1]["sha256"].get<std::string>().size(), 64u);
  EXPECT_TRUE(report["smoke_test"].is_null());  // there is no tokenizer
  EXPECT_TRUE(report["vocabulary"].is_null());
  const std::string card = io::ReadFile(folder_ / "out/README.md");
  EXPECT_THAT(card, HasSubstr("merge_method: linear"));
  EXPECT_THAT(card, HasSubstr("- a, sha256 " + report["models"][0]["sha256"].get<std::string>()));
}

TEST_F(ModelMerges, RunsTheResultOnTextsWhereItHasATokenizer) {
  config_.vocab_size = text::kByteVocabSize;
  config_.eos_token_ids = {text::kByteEndOfText};
  const text::TokenizerData tokenizer = text::MakeByteTokenizer();
  Save("with", config_, model::testing::RandomWeights(config_), &tokenizer);
  const io::Json report = Merge(R"({merge_method: passthrough, models: [{model: "@with"}]})");
  EXPECT_EQ(report["smoke_test"]["prompts"].size(), 4u);
  EXPECT_EQ(report["smoke_test"]["nll"], report["smoke_test"]["reference_nll"]);
  EXPECT_TRUE(report["notes"].empty()) << report["notes"];
  EXPECT_NE(io::ReadJsonFile(folder_ / "out/merge_report.json")["smoke_test"], nullptr);
}

TEST_F(ModelMerges, CopiesATokenizerThatItCannotReadAndDoesWithoutOneOfAGgufFile) {
  io::WriteFileAtomically(folder_ / "b/tokenizer.json", "{\"model\": {\"type\": \"Unigram\"}}");
  const io::Json report = Merge(R"({merge_method: passthrough, models: [{model: "@b"}]})");
  EXPECT_EQ(io::ReadFile(folder_ / "out/tokenizer.json"), io::ReadFile(folder_ / "b/tokenizer.json"));
  EXPECT_THAT(report["notes"], Contains(HasSubstr("the result was not run on texts")));
  model::SaveGguf(folder_ / "a.gguf", config_,
                  model::GgufTensorsOf(config_, a_, io::BlockType::kF32, io::BlockType::kF32), {}, "a");
  const io::Json without =
      Merge(R"({merge_method: passthrough, models: [{model: "@a.gguf"}]})", {}, "without");
  EXPECT_THAT(without["notes"], Contains(HasSubstr("the result has no tokenizer")));
  EXPECT_FALSE(HasTokenizer(folder_ / "without"));
  EXPECT_EQ(Merged("without"), a_);
}

TEST_F(ModelMerges, RefusesValuesTooLargeForTheTypeAndLeavesNothingBehind) {
  b_.at(kUpProjection).values[77] = 1e6f;
  Save("large", config_, b_);
  const std::string yaml = R"({merge_method: passthrough, out_dtype: float16, models: [{model: "@large"}]})";
  EXPECT_THAT(ErrorOf(yaml), HasSubstr(fmt::format("cannot store {} of the merged model", kUpProjection)));
  EXPECT_THAT(ErrorOf(yaml), HasSubstr("1e+06, which is too large for float16"));
  EXPECT_THAT(Files(), UnorderedElementsAre("a", "b", "large"));
}

TEST_F(ModelMerges, RefusesAFolderThatIsThereUnlessItIsToBeReplaced) {
  std::filesystem::create_directories(folder_ / "out");
  io::WriteFileAtomically(folder_ / "out/kept.txt", "kept");
  EXPECT_THAT(ErrorOf(kLinear), HasSubstr("out"));
  EXPECT_EQ(io::ReadFile(folder_ / "out/kept.txt"), "kept");
  EXPECT_EQ(ErrorOf(kLinear, {.replace = true}), "no error");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/kept.txt"));
}

TEST_F(ModelMerges, DropsTheSameChangesAgainForASeedAndOthersForAnother) {
  const auto files = [&](std::uint64_t seed, const std::string& out) {
    return Merge(kDareTies, {.seed = seed}, out)["files"];
  };
  const io::Json first = files(7, "first");
  EXPECT_EQ(files(7, "again"), first);
  EXPECT_NE(files(8, "other"), first);
  std::size_t kept = 0;
  const std::vector<float> merged = Merged("first").at(kUpProjection).values;
  const std::vector<float>& base = a_.at(kUpProjection).values;
  for (std::size_t i = 0; i < merged.size(); ++i) kept += merged[i] != base[i];
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(merged.size()), 0.5, 0.03);
}

TEST_F(ModelMerges, AddsTheAdapterOfBasePlusAdapter) {
  model::LoraAdapter adapter{.rank = 1, .factors = {}, .replaced = {}};
  adapter.factors[kUpProjection] = {
      {{1, 64}, std::vector<float>(64, 0.5f)}, {{128, 1}, std::vector<float>(128, 0.25f)}, 2.0};
  model::SaveLoraAdapter(folder_ / "adapter", adapter, "a");
  const std::string yaml = R"({merge_method: passthrough, models: [{model: "@a+)" + Path("adapter") + "\"}]}";
  Merge(yaml);
  model::ModelWeights expected = a_;
  for (float& value : expected.at(kUpProjection).values) value += 2.0f * 0.5f * 0.25f;
  EXPECT_EQ(Merged(), expected);
}

TEST_F(ModelMerges, TakesTheChoicesOfAMasksFileWithMergekitsNumerics) {
  // One tensor's choices: the first half of b's changes stays. The others are drawn.
  const std::size_t size = b_.at(kUpProjection).values.size();
  std::string bytes(size, '\0');
  std::fill_n(bytes.begin(), size / 2, '\1');
  const std::string header = fmt::format(R"({{"b/{}":{{"dtype":"U8","shape":[{}],"data_offsets":[0,{}]}}}})",
                                         kUpProjection, size, size);
  const std::uint64_t length = header.size();
  io::WriteFileAtomically(
      folder_ / "masks.safetensors",
      std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + bytes);
  Merge(kDareTies, {.mergekit_numerics = true, .masks = folder_ / "masks.safetensors"});
  const std::vector<float> merged = Merged().at(kUpProjection).values, &base = a_.at(kUpProjection).values;
  for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(merged[i] != base[i], i < size / 2) << i;
}

TEST(MergingPage, HasExamplesThatAreConfigs) {
  const std::string page = io::ReadFile(std::filesystem::path(FORGE_SOURCE_DIR) / "docs/merging.md");
  const std::string start = "```yaml\n", end = "```\n";
  int examples = 0;
  for (std::size_t at = page.find(start); at != std::string::npos; at = page.find(start, at), ++examples) {
    at += start.size();
    EXPECT_NO_THROW(merge::ParseMergeConfigs(page.substr(at, page.find(end, at) - at), "an example"));
  }
  EXPECT_EQ(examples, 5);
}

TEST_F(ModelMerges, ShowsWhatItWouldDoAndWritesNothing) {
  const io::Json preview = Open(kLinear).Preview();
  EXPECT_THAT(Files(), UnorderedElementsAre("a", "b"));
  EXPECT_EQ(preview["method"], "linear");
  EXPECT_EQ(preview["parameters"], model::CountParameters(config_));
  EXPECT_EQ(preview["bytes"], model::CountParameters(config_) * 4);
  EXPECT_GT(preview["memory_bytes"], 0);
  EXPECT_GE(preview["estimated_seconds"], 0.0);
}

}  // namespace
}  // namespace forge::pipeline
