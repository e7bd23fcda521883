// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/compressor.h"
#include "compress/testing_folder.h"
#include "compress/testing_model.h"
#include "model/gguf_model.h"
#include "runtime/native_model.h"
#include "runtime/packed_file.h"

namespace forge::compress {
namespace {

using runtime::PackedFormat;
using testing::OpinionatedWeights;
using testing::RandomText;

/// Rows of one group of 256, in which codes of every layout differ in size.
class PackedExport : public ::testing::Test {
 protected:
  PackedExport() {
    config_.hidden_size = config_.intermediate_size = 256;
    config_.head_dim = 64;
    weights_ = OpinionatedWeights(config_);
    source_ = model::WeightsInMemory(config_, weights_);
    for (std::uint64_t i = 0; i < 20; ++i) input_.calibration.push_back(RandomText(config_, i));
    input_.weights = source_.get();
    input_.output = folder_.path() / "model.gguf";
  }
  /// The sections of model.forge after compressing so.
  std::shared_ptr<const io::SectionFile> FileOf(const std::string& codes, const std::string& embeddings,
                                                const std::string& embedding_type = "q8_0") {
    CompressConfig config{.group_size = 256, .training_steps = 0};
    config.embedding_type = embedding_type;
    config.also_export = {"packed"};
    config.packed_codes = codes;
    config.packed_embeddings = embeddings;
    const CompressResult result = Compress(input_, config, sink_, stop_);
    return std::make_shared<const io::SectionFile>(result.exports.at(0).path);
  }
  static PackedFormat FormatOf(const io::SectionFile& file, const char* section) {
    return static_cast<PackedFormat>(file.Find(section)->format);
  }
  static std::vector<float> LogitsOf(const std::shared_ptr<const io::SectionFile>& file) {
    return runtime::NativeModel(runtime::OpenPackedFile(file)).Logits(std::vector<int>{1, 2, 3});
  }

  testing::TestFolder folder_;
  model::ModelConfig config_ = model::testing::TinyConfig();
  model::ModelWeights weights_;
  std::unique_ptr<model::WeightSource> source_;
  CompressInput input_;
  NullMetricSink sink_;
  StopToken stop_;
};

TEST_F(PackedExport, HoldsCodesAndEmbeddingAsAsked) {
  constexpr const char* kLinear = "layers.1.gate_up";
  const auto two_bit = FileOf("two-bit", "auto");
  EXPECT_EQ(FormatOf(*two_bit, kLinear), PackedFormat::kTwoBit);
  const auto logits = LogitsOf(two_bit);
  for (const auto& [codes, format] :
       {std::pair{"base-3", PackedFormat::kBase3}, std::pair{"base-27", PackedFormat::kBase27}}) {
    const auto file = FileOf(codes, "auto");
    EXPECT_EQ(FormatOf(*file, kLinear), format);
    EXPECT_LT(file->Find(kLinear)->bytes.size(), two_bit->Find(kLinear)->bytes.size());
    EXPECT_EQ(LogitsOf(file), logits);
  }
  const auto rotated = FileOf("base-27", "q8_rotated");
  EXPECT_EQ(FormatOf(*rotated, "embedding"), PackedFormat::kInt8Rotated);
  EXPECT_NE(LogitsOf(rotated), logits);
}

TEST_F(PackedExport, RoundsAnEmbeddingOfAnotherTypeWhenAskedTo) {
  const auto file = FileOf("two-bit", "q4_0", "f16");
  EXPECT_EQ(FormatOf(*file, "embedding"), PackedFormat::kInt4);
  EXPECT_EQ(model::OpenGguf(input_.output)->FindStoredRows(model::ListTensors(config_).front())->type,
            io::BlockType::kF16);
}

}  // namespace
}  // namespace forge::compress
