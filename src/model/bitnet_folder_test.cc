// SPDX-License-Identifier: Apache-2.0
#include "model/bitnet_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "io/safetensors.h"
#include "model/model_folder.h"
#include "model/testing_models.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BitnetFolder : public ::testing::Test {
 protected:
  void TearDown() override { fs::remove_all(folder_); }

  /// Random codes for all linears, with the scales that the layout keeps.
  void Make(io::FloatType type) {
    Random random(1, "model/testing/bitnet");
    for (const TensorSpec& spec : ListTensors(config_)) {
      if (!IsLinear(spec)) continue;
      BitnetLinear& linear = linears_[spec.name];
      linear.scale = BitnetStoredScale(0.01f + static_cast<float>(random.Uniform()), type);
      std::vector<float>& values = weights_.at(spec.name).values;
      for (float& value : values) {
        linear.codes.push_back(static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1));
        value = static_cast<float>(linear.codes.back()) * linear.scale;
      }
    }
  }
  /// The config.json with another quantization_config.
  void Change(const std::string& key, const io::Json& value) {
    io::Json json = io::ReadJsonFile(folder_ / "config.json");
    json["quantization_config"][key] = value;
    std::ofstream(folder_ / "config.json") << json;
  }
  std::string ErrorOfOpening() {
    try {
      OpenModelFolder(folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge_bitnet_" + std::to_string(getpid()));
  ModelConfig config_ = TinyConfig();
  ModelWeights weights_ = testing::RandomWeights(config_);
  std::map<std::string, BitnetLinear> linears_;

 private:
  static ModelConfig TinyConfig() { return testing::TinyConfig("qwen2"); }
};

TEST_F(BitnetFolder, PacksRowsAQuarterApart) {  // transformers' own example: 0b10100001 is 0, -1, 1, 1
  const std::int8_t codes[] = {0, -1, 1, 1};
  EXPECT_EQ(PackBitnet(codes, 4, 1), std::vector<std::uint8_t>{0b10100001});
  // bitnet-ternary.md, appendix A: 8 rows of 32.
  std::vector<std::int8_t> sample;
  for (int i = 0; i < 256; ++i) sample.push_back(static_cast<std::int8_t>((i * i + i / 5 + i / 17) % 3 - 1));
  std::string hex;
  for (const std::uint8_t byte : PackBitnet(sample, 8, 32)) {
    char text[3];
    std::snprintf(text, sizeof text, "%02x", byte);
    hex += text;
  }
  EXPECT_EQ(hex,
            "44a99598011a9516420564445a081498012a2152682a68844a899960116921564245a48148891990021285664206a894"
            "9a08159112"
            "6a2154640aa8945881a920");
}

TEST_F(BitnetFolder, ComesBackAsItWasWritten) {
  Make(io::FloatType::kF32);
  SaveBitnetFolder(folder_, config_, weights_, linears_, io::FloatType::kF32, {});
  const ModelFolder again = LoadModelFolder(folder_);
  EXPECT_EQ(again.config, config_);
  EXPECT_EQ(again.weights, weights_);
}

TEST_F(BitnetFolder, AScaleIsJudgedAsItIsStored) {
  Make(io::FloatType::kBF16);
  SaveBitnetFolder(folder_, config_, weights_, linears_, io::FloatType::kBF16, {});
  const ModelFolder again = LoadModelFolder(folder_);
  for (const auto& [name, linear] : linears_)
    EXPECT_EQ(again.weights.at(name).values, weights_.at(name).values);
}

TEST_F(BitnetFolder, TheOtherDirectionOfTheScaleIsUnderstood) {
  Make(io::FloatType::kF32);
  for (auto& [name, linear] : linears_) linear.scale = 1 / linear.scale;  // stored: scale itself
  SaveBitnetFolder(folder_, config_, weights_, linears_, io::FloatType::kF32, {});
  Change("linear_class", "autobitlinear");
  const ModelFolder again = LoadModelFolder(folder_);
  for (const auto& [name, linear] : linears_)
    for (std::size_t i = 0; i < linear.codes.size(); ++i)
      ASSERT_NEAR(again.weights.at(name).values[i], weights_.at(name).values[i], 1e-6);
}

TEST_F(BitnetFolder, RefusesWhatItDoesNotCompute) {
  Make(io::FloatType::kF32);
  SaveBitnetFolder(folder_, config_, weights_, linears_, io::FloatType::kF32, {});
  Change("use_rms_norm", true);
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("use_rms_norm"));
  Change("use_rms_norm", false);
  Change("linear_class", "autobitlinear");
  Change("quantization_mode", "online");
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("\"online\""));
  Change("linear_class", "other");
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("linear_class is \"other\""));
  Change("quant_method", "gptq");
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("quantization_config"));
}

TEST_F(BitnetFolder, ACodeThatDoesNotExistIsRefusedWithItsPlace) {
  Make(io::FloatType::kF32);
  linears_.begin()->second.codes[5] = 2;
  SaveBitnetFolder(folder_, config_, weights_, linears_, io::FloatType::kF32, {});
  try {
    LoadModelFolder(folder_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("code 3 at row 0, column 5"));
  }
}

TEST(BitnetFolderGolden, HoldsTheCodesOfTransformers) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/hf_bitnet_tiny");
  const fs::path golden = testing::SharedFolder() / "data/golden/hf_bitnet_tiny";
  const ModelFolder model = LoadModelFolder(golden);
  const io::SafetensorsFile codes(golden / "codes_int8.safetensors");
  int linears = 0;
  for (const TensorSpec& spec : ListTensors(model.config)) {
    if (!IsLinear(spec)) continue;
    const std::string name = spec.name.substr(std::string("model.").size());
    const auto& entry = codes.Get(name.substr(0, name.size() - std::string(".weight").size()));
    const std::vector<float>& values = model.weights.at(spec.name).values;
    float scale = 0;
    for (const float value : values) scale = std::max(scale, value);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], scale * static_cast<float>(static_cast<std::int8_t>(entry.bytes[i]))) << spec.name;
    ++linears;
  }
  EXPECT_EQ(linears, 14);
}

}  // namespace
}  // namespace forge::model
