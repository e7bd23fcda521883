// SPDX-License-Identifier: Apache-2.0
#include "compress/kept_linears.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "compress/testing_folder.h"
#include "compress/testing_model.h"
#include "compress/untrained.h"

namespace forge::compress {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Asks for a stop when a layer begins, and keeps what is said.
class StoppingSink : public NullMetricSink {
 public:
  StoppingSink(StopToken& stop, std::int64_t at) : stop_(stop), at_(at) {}
  void Progress(std::string_view stage, std::int64_t done, std::int64_t, std::string_view) override {
    if (stage == "compress" && done == at_) stop_.RequestStop();
  }
  void Log(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;

 private:
  StopToken& stop_;
  std::int64_t at_;
};

class KeptLinearsTest : public ::testing::Test {
 protected:
  KeptLinearsTest() {
    for (std::uint64_t i = 0; i < 6; ++i) texts_.push_back(testing::RandomText(config_, i));
  }
  UntrainedOptions Options(Tier tier) const {
    return {.tier = tier,
            .group = 64,
            .fitted_group = 64,
            .budget = {.bits_per_weight = 3},
            .quantiser = &FindQuantiser("weighted"),
            .kept = folder_.path() / "kept"};
  }
  UntrainedResult Compress(const UntrainedOptions& options, std::int64_t stop_at,
                           std::vector<std::string>* lines) const {
    StopToken stop;
    StoppingSink sink(stop, stop_at);
    const auto texts = std::span(texts_);
    try {
      UntrainedResult result =
          CompressUntrained(*source_, texts.first(4), texts.last(2), options, sink, stop);
      if (lines != nullptr) *lines = sink.lines;
      return result;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
      return {};
    }
  }
  static void ExpectEqual(const UntrainedResult& a, const UntrainedResult& b) {
    EXPECT_EQ(a.stored_as, b.stored_as);
    ASSERT_EQ(a.linears.size(), b.linears.size());
    for (std::size_t i = 0; i < a.linears.size(); ++i) {
      EXPECT_EQ(a.linears[i].name, b.linears[i].name);
      EXPECT_EQ(a.linears[i].error, b.linears[i].error) << a.linears[i].name;
      EXPECT_EQ(a.linears[i].kept_feedback, b.linears[i].kept_feedback);
    }
    for (const auto& planes : {&CompressedModel::ternary, &CompressedModel::second_plane}) {
      ASSERT_EQ((a.model.*planes).size(), (b.model.*planes).size());
      for (const auto& [name, plane] : a.model.*planes) {
        EXPECT_EQ(plane.codes, (b.model.*planes).at(name).codes) << name;
        EXPECT_EQ(plane.scales, (b.model.*planes).at(name).scales) << name;
      }
    }
    ASSERT_EQ(a.model.encoded.size(), b.model.encoded.size());
    for (const auto& [name, linear] : a.model.encoded)
      EXPECT_EQ(linear.blocks, b.model.encoded.at(name).blocks) << name;
  }
  std::size_t Files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path() / "kept"))
      count += entry.is_regular_file();
    return count;
  }

  testing::TestFolder folder_;
  model::ModelConfig config_ = model::testing::TinyConfig();
  const model::ModelWeights weights_ = testing::OpinionatedWeights(config_);
  std::unique_ptr<model::WeightSource> source_ = model::WeightsInMemory(config_, weights_);
  std::vector<std::vector<int>> texts_;
};

TEST_F(KeptLinearsTest, LetAStoppedCompressionGoOnToTheSameResult) {
  for (const Tier tier : {Tier::kStrict, Tier::kMixed, Tier::kDual}) {
    UntrainedOptions options = Options(tier);
    options.kept.clear();
    const UntrainedResult whole = Compress(options, -1, nullptr);
    options = Options(tier);
    Compress(options, 1, nullptr);  // of two layers
    EXPECT_EQ(Files(), 7u) << Name(tier);
    const fs::path first =
        options.kept / (std::string(Name(tier)) + "-1") / "model.layers.0.self_attn.q_proj.weight.kept";
    const fs::file_time_type written = fs::last_write_time(first);
    std::vector<std::string> lines;
    ExpectEqual(Compress(options, -1, &lines), whole);
    EXPECT_EQ(fs::last_write_time(first), written);
    for (const std::string& line : lines) EXPECT_THAT(line, ::testing::Not(HasSubstr("made again")));
    ExpectEqual(Compress(options, -1, nullptr), whole);  // all of it known
    fs::remove_all(options.kept);
  }
}

TEST_F(KeptLinearsTest, OfOtherSettingsOrDamagedAreToldOfAndMadeAgain) {
  const UntrainedOptions options = Options(Tier::kStrict);
  const UntrainedResult whole = Compress(options, -1, nullptr);
  std::vector<std::string> lines;
  UntrainedOptions other = options;
  other.with_feedback = false;
  Compress(other, -1, &lines);
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const auto& line) { return line.find("other settings") != std::string::npos; }),
            14);
  Compress(options, -1, nullptr);
  other = options;
  other.tables = io::BlockType::kQ4_0;  // what the linears were calibrated behind
  Compress(other, -1, &lines);
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const auto& line) { return line.find("other settings") != std::string::npos; }),
            14);
  Compress(options, -1, &lines);
  const fs::path path = options.kept / "strict-1" / "model.layers.1.mlp.down_proj.weight.kept";
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('\x55');
  }
  ExpectEqual(Compress(options, -1, &lines), whole);
  const auto said = std::count_if(lines.begin(), lines.end(), [](const auto& line) {
    return line.find("model.layers.1.mlp.down_proj.weight is made again") != std::string::npos;
  });
  EXPECT_EQ(said, 1);
}

TEST_F(KeptLinearsTest, AreNotKeptWithoutAFolder) {
  const KeptLinears none({}, "key");
  const model::TensorSpec spec = model::ListTensors(config_)[2];
  none.Keep(spec, {});
  EXPECT_FALSE(none.Find(spec));
}

}  // namespace
}  // namespace forge::compress
