// SPDX-License-Identifier: Apache-2.0
#include "compress/teacher_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "compress/testing_folder.h"
#include "compress/testing_model.h"
#include "io/atomic_file.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

/// Two rows: documents of 7 and 5 tokens, then one of 9 and three tokens that nothing is learned from.
train::TokenBatch Batch(int seed) {
  train::TokenBatch batch{.rows = 2, .length = 12};
  for (const int size : {7, 5, 9, 3})
    for (int t = 0; t < size; ++t) {
      batch.tokens.push_back((seed * 31 + size * 7 + t * t) % 40);
      batch.positions.push_back(t);
      batch.teacher_weights.push_back(t > 0 && size != 3 ? 1.0f : 0.0f);
    }
  return batch;
}

class TeacherCacheTest : public ::testing::Test {
 protected:
  std::function<std::unique_ptr<model::LanguageModel>()> Teacher() {
    return [this] {
      ++opened_;
      return std::make_unique<runtime::NativeModel>(config_, weights_);
    };
  }
  testing::TestFolder folder_;
  model::ModelConfig config_ = model::testing::TinyConfig();
  model::ModelWeights weights_ = testing::OpinionatedWeights(config_);
  NullMetricSink sink_;
  StopToken stop_;
  int opened_ = 0;
};

TEST_F(TeacherCacheTest, GivesTheLikeliestTokensOfEachDocument) {
  TeacherCache cache(folder_.path() / "teacher", 4, "a");
  cache.Fill(3, Batch, Teacher(), sink_, stop_);
  const train::TokenBatch taught = cache.Taught(Batch(1));
  ASSERT_EQ(taught.top_ids.size(), 24u * 4);
  runtime::NativeModel model(config_, weights_);
  std::size_t begin = 0;
  for (std::size_t t = 0; t < 21; ++t) {
    if (taught.positions[t] == 0) begin = t;
    if (t == begin) continue;
    const std::vector<int> before(taught.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                  taught.tokens.begin() + static_cast<std::ptrdiff_t>(t));
    const std::vector<float> all = model.Logits(before);
    const std::vector<float> logits(all.end() - config_.vocab_size, all.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    float least = 1e30f;
    for (std::size_t i = 0; i < 4; ++i) {
      const float logit = logits[static_cast<std::size_t>(taught.top_ids[t * 4 + i])];
      EXPECT_NEAR(taught.top_probabilities[t * 4 + i], std::exp(static_cast<double>(logit)) / sum, 1e-5);
      EXPECT_LE(logit, least + 1e-5f);
      least = logit;
    }
    EXPECT_LE(std::count_if(logits.begin(), logits.end(), [&](float logit) { return logit > least + 1e-4f; }),
              3);
  }
  for (std::size_t i = 21 * 4; i < 24 * 4; ++i) EXPECT_EQ(taught.top_ids[i], static_cast<int>(i % 4));
}

TEST_F(TeacherCacheTest, AsksOnceAndGoesOnBehindWhatIsKept) {
  // 200 steps of three documents: ten files of 64.
  const auto fill = [&](const char* key, const std::function<train::TokenBatch(int)>& batch) {
    TeacherCache cache(folder_.path() / "teacher", 4, key);
    cache.Fill(200, batch, Teacher(), sink_, stop_);
    return cache.Taught(Batch(199));
  };
  EXPECT_THROW(fill("a",
                    [&](int i) {
                      if (i == 199) stop_.RequestStop();
                      return Batch(i);
                    }),
               Error);
  EXPECT_EQ(opened_, 0);
  StopToken fresh;
  TeacherCache cache(folder_.path() / "teacher", 4, "a");
  cache.Fill(200, Batch, Teacher(), sink_, fresh);
  EXPECT_EQ(opened_, 1);
  const train::TokenBatch first = cache.Taught(Batch(39));
  const std::filesystem::path file = folder_.path() / "teacher" / "teacher-000001.kept";
  const std::string bytes = io::ReadFile(file);
  TeacherCache again(folder_.path() / "teacher", 4, "a");
  again.Fill(200, Batch, Teacher(), sink_, fresh);
  EXPECT_EQ(opened_, 1);
  EXPECT_EQ(again.Taught(Batch(39)).top_probabilities, first.top_probabilities);
  // Damaged, of another teacher, with more tokens: made again.
  std::string damaged = bytes;
  damaged[damaged.size() - 3] = static_cast<char>(damaged[damaged.size() - 3] + 1);
  io::WriteFileAtomically(file, damaged);
  TeacherCache mended(folder_.path() / "teacher", 4, "a");
  mended.Fill(200, Batch, Teacher(), sink_, fresh);
  EXPECT_EQ(opened_, 2);
  EXPECT_EQ(io::ReadFile(file), bytes);
  TeacherCache other(folder_.path() / "teacher", 4, "b");
  other.Fill(200, Batch, Teacher(), sink_, fresh);
  EXPECT_EQ(opened_, 3);
  TeacherCache more(folder_.path() / "teacher", 5, "b");
  more.Fill(200, Batch, Teacher(), sink_, fresh);
  EXPECT_EQ(opened_, 4);
}

}  // namespace
}  // namespace forge::compress
