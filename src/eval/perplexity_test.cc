// SPDX-License-Identifier: Apache-2.0
#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <set>

#include "eval/testing_bigram_model.h"

namespace forge::eval {
namespace {

TEST(Windows, ScoreEveryTokenOnceForEverySize) {
  for (std::size_t tokens = 2; tokens < 30; ++tokens)
    for (std::size_t context = 2; context < 9; ++context) {
      for (std::size_t stride = 1; stride <= context; ++stride) {
        std::set<std::size_t> scored;
        for (const Window& window : StridedWindows(tokens, context, stride)) {
          EXPECT_LT(window.begin, window.first);
          EXPECT_LT(window.first, window.end);
          EXPECT_LE(window.end - window.begin, context);
          for (std::size_t i = window.first; i < window.end; ++i) EXPECT_TRUE(scored.insert(i).second);
        }
        // Without overlap the first token of each window has nothing before it.
        if (stride < context) {
          EXPECT_EQ(scored.size(), tokens - 1);
        }
      }
      std::set<std::size_t> scored;
      for (const Window& window : RollingWindows(tokens, context)) {
        EXPECT_LT(window.begin, window.first);
        EXPECT_LE(window.end - window.begin, context + 1);  // the last token is not given to the model
        for (std::size_t i = window.first; i < window.end; ++i) EXPECT_TRUE(scored.insert(i).second);
      }
      EXPECT_EQ(scored.size(), tokens - 1);
    }
}

// Of the harness' own docstring: 10 tokens, 4 positions, context 1; here the prefix is token 0.
TEST(Windows, RollAsTheHarnessDoes) {
  const std::vector<Window> windows = RollingWindows(11, 4);
  ASSERT_EQ(windows.size(), 3U);
  const std::size_t expected[3][3] = {{0, 1, 5}, {4, 5, 9}, {6, 9, 11}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(windows[i].begin, expected[i][0]);
    EXPECT_EQ(windows[i].first, expected[i][1]);
    EXPECT_EQ(windows[i].end, expected[i][2]);
  }
}

TEST(Perplexity, IsByTokenWordAndByte) {
  testing::BigramModel model;
  const text::Tokenizer tokenizer(text::MakeByteTokenizer());
  const ModelSession session{.model = model, .tokenizer = tokenizer, .stop_token_ids = {}, .chat = {}};
  const std::vector<int> ids = tokenizer.Encode("ab ab");
  TextLikelihood score = ScoreWindows(session, ids, StridedWindows(ids.size(), 5, 5), "x");
  EXPECT_EQ(score.tokens, 4U);
  score.words = CountWords("ab ab");
  score.bytes = 5;
  EXPECT_EQ(score.words, 2U);
  EXPECT_EQ(CountWords(" a  b "), 4U);                                      // as len(re.split(r"\s+", ..))
  const double each = std::log(static_cast<double>(text::kByteVocabSize));  // all logits are 0
  EXPECT_NEAR(score.nll, 4 * each, 1e-9);
  EXPECT_NEAR(score.PerToken(), text::kByteVocabSize, 1e-6);
  EXPECT_NEAR(score.PerWord(), std::exp(2 * each), 1e-3);
  EXPECT_NEAR(score.PerByte(), std::exp(0.8 * each), 1e-6);
  EXPECT_NEAR(score.BitsPerByte(), 0.8 * each / std::log(2.0), 1e-9);
}

}  // namespace
}  // namespace forge::eval
