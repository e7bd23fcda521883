// SPDX-License-Identifier: Apache-2.0
#include "pipeline/compress_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "io/atomic_file.h"
#include "pipeline/compress_stage.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CompressTexts : public ::testing::Test {
 protected:
  CompressTexts() {
    fs::create_directories(folder_);
    settings_.calibration_dataset = "self";  // no data set to read
    settings_.calibration_texts = {(folder_ / "short.txt").string()};
  }
  ~CompressTexts() override { fs::remove_all(folder_); }

  void WriteText(std::size_t words) const {
    std::string text;
    for (std::size_t i = 0; i < words; ++i) text += "word ";
    io::WriteFileAtomically(folder_ / "short.txt", text);
  }
  /// Of what is checked before a run begins.
  std::string MessageOf() const {
    model::ModelConfig config{.hidden_size = 64,
                              .intermediate_size = 64,
                              .num_hidden_layers = 1,
                              .num_attention_heads = 1,
                              .num_key_value_heads = 1,
                              .head_dim = 64};
    try {
      LoadCompressDomains(settings_, config);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge_compress_texts_" + std::to_string(getpid()));
  CompressSettings settings_;
};

TEST_F(CompressTexts, OfOnePieceLeaveNothingToTrainOnAndThatIsSaidFirst) {
  WriteText(250);  // 1250 bytes
  ASSERT_EQ(settings_.compress.training_steps, 1000);
  EXPECT_THAT(MessageOf(),
              HasSubstr("cannot calibrate and train on the text " + settings_.calibration_texts[0]));
  EXPECT_THAT(MessageOf(), HasSubstr("nothing is left to train on"));
  settings_.compress.training_steps = 0;
  EXPECT_EQ(MessageOf(), "no error");
  EXPECT_EQ(ReadCalibrationTexts(settings_)[0].calibration.size(), 1u);
}

TEST_F(CompressTexts, OfTwoPiecesCalibrateAndTrain) {
  WriteText(600);  // 3000 bytes
  EXPECT_EQ(MessageOf(), "no error");
  const CalibrationPieces pieces = ReadCalibrationTexts(settings_)[0];
  EXPECT_EQ(pieces.name, "short");
  EXPECT_EQ(pieces.calibration.size(), 1u);
  EXPECT_EQ(pieces.training.size(), 1u);
}

}  // namespace
}  // namespace forge::pipeline
