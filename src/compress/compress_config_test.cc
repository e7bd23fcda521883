// SPDX-License-Identifier: Apache-2.0
#include "compress/compress_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/testing_models.h"

namespace forge::compress {
namespace {

using model::ModelConfig;
using model::testing::TinyConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PlanStorage, ChoosesTypeAndGroupTogether) {
  ModelConfig wide = TinyConfig();
  wide.hidden_size = wide.intermediate_size = 256;
  wide.head_dim = 64;
  const auto plan = [&](const CompressConfig& config) {
    const StoragePlan storage = PlanStorage(config, wide);
    return std::pair(storage.group, storage.type);
  };
  EXPECT_EQ(plan({}), std::pair(64, io::BlockType::kQ2_0));
  EXPECT_EQ(plan({.group_size = 256}), std::pair(256, io::BlockType::kTQ2_0));
  EXPECT_EQ(plan({.export_type = "tq2_0"}), std::pair(256, io::BlockType::kTQ2_0));
  EXPECT_EQ(plan({.export_type = "tq1_0"}), std::pair(256, io::BlockType::kTQ1_0));
  EXPECT_EQ(plan({.group_size = 128}), std::pair(128, io::BlockType::kQ2_0));
  EXPECT_EQ(plan({.group_size = 256, .export_type = "q2_0"}), std::pair(256, io::BlockType::kQ2_0));
}

TEST(CompressConfig, ReportsEveryFieldThatIsOutOfRange) {
  EXPECT_THAT(Problems(CompressConfig{.export_type = "q3", .min_retention = 7}),
              ElementsAre("export_type is q3; it must be auto, q2_0, tq2_0, tq1_0",
                          "min_retention is 7; it must be 0 to 2"));
}

std::string MessageOf(const CompressConfig& config) {
  try {
    CheckFlagsFit(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(CheckFlagsFit, BlockReconstructionFollowsFeedbackInTierStrict) {
  EXPECT_EQ(MessageOf({.block_steps = 100, .training_steps = 0, .precision = "bf16"}), "no error");
  EXPECT_EQ(MessageOf({.block_steps = 100, .training_start = "feedback"}), "no error");
  EXPECT_THAT(MessageOf({.block_steps = 100}),
              HasSubstr("cannot use --block-steps with training from the weights"));
  EXPECT_THAT(MessageOf({.block_learning_rate = 0.1, .training_steps = 0}),
              HasSubstr("cannot use --block-learning-rate without --block-steps"));
  for (const char* tier : {"mixed", "dual", "auto"})
    EXPECT_THAT(MessageOf({.block_steps = 100, .training_steps = 0, .tier = tier}),
                HasSubstr(std::string("cannot use --block-steps with --tier ") + tier));
  EXPECT_THAT(MessageOf({.granularity = "row", .block_steps = 100, .training_steps = 0}),
              HasSubstr("cannot use --granularity with --block-steps"));
  EXPECT_THAT(MessageOf({.training_steps = 0, .precision = "bf16"}),
              HasSubstr("cannot use --precision without training"));
}

TEST(CheckFlagsFit, FormsOfThePackedFileNeedOne) {
  CompressConfig config{.also_export = {"packed"}, .training_steps = 0};
  config.packed_codes = "base-27";
  config.packed_embeddings = "q8_rotated";
  EXPECT_EQ(MessageOf(config), "no error");
  config.tier = "dual";
  EXPECT_THAT(MessageOf(config), HasSubstr("cannot use --packed-codes base-27 with --tier dual"));
  config.tier = "strict";
  config.embedding_type = "f16";
  EXPECT_EQ(MessageOf(config), "no error");
  config.also_export = {"f16"};
  EXPECT_THAT(MessageOf(config),
              HasSubstr("cannot use --packed-codes, --packed-embeddings without --also-export packed"));
}

TEST(PlanStorage, RefusesCodesOfThePackedFileThatWouldBeNoSmaller) {
  ModelConfig wide = TinyConfig();
  wide.hidden_size = wide.intermediate_size = 256;
  wide.head_dim = 64;
  for (const char* codes : {"base-3", "base-27"}) {
    CompressConfig config{.also_export = {"packed"}};
    config.packed_codes = codes;
    EXPECT_THROW(PlanStorage(config, wide), Error);
    config.group_size = 128;  // Q2_0 again
    EXPECT_THROW(PlanStorage(config, wide), Error);
    config.group_size = 256;
    EXPECT_NO_THROW(PlanStorage(config, wide));
  }
}

}  // namespace
}  // namespace forge::compress
