// SPDX-License-Identifier: Apache-2.0
#include "eval/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "text/byte_tokenizer.h"

namespace forge::eval {
namespace {

using testing::ElementsAre;

/// Writes the given texts, a byte a token, whatever it is asked.
class Writer : public model::LanguageModel {
 public:
  explicit Writer(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  const model::ModelConfig& config() const override { return config_; }
  std::vector<std::vector<std::vector<float>>> Score(std::span<const model::ScoreRequest> requests) override {
    std::vector<std::vector<std::vector<float>>> scores;
    for (const model::ScoreRequest& request : requests)
      scores.push_back({std::vector<float>(request.continuations[0].size(), -0.5f)});
    return scores;
  }
  void VisitScores(std::span<const model::ScoredSequence>, const model::ScoreVisitor&) const override {}
  std::vector<model::Generation> Generate(std::span<const model::GenerateRequest> requests,
                                          const model::GenerateOptions& options) override {
    std::vector<model::Generation> generations(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i)
      for (const int token : tokenizer_.Encode(texts_[i])) {
        if (static_cast<int>(generations[i].tokens.size()) == options.max_new_tokens) break;
        generations[i].tokens.push_back(token);
        if (options.on_token && !options.on_token(i, token)) break;
        if (std::count(options.stop_token_ids.begin(), options.stop_token_ids.end(), token) > 0) break;
      }
    return generations;
  }
  std::vector<float> Logits(std::span<const int>) override { return {}; }

 private:
  model::ModelConfig config_;
  std::vector<std::string> texts_;
  text::Tokenizer tokenizer_{text::MakeByteTokenizer()};
};

const std::vector<Item> kItems{{"a", "hello\n"}, {"b", "hello\n"}, {"c", "x\xC3\xA9y\n"}, {"d", "[1]=7\n"}};
const std::vector<std::string> kTexts{"hello\n", "help me, I go on\n", "x\xC3\xA9y\n", "[2]=7\n"};

TEST(ScoreItems, LeavesOffAWrongAnswerWhereItGoesWrong) {
  Writer model(kTexts);
  const text::Tokenizer tokenizer(text::MakeByteTokenizer());
  TokenCount tokens;
  EXPECT_THAT(ScoreItems(model, tokenizer, kItems, Metric::kExactMatch, &tokens), ElementsAre(1, 0, 1, 1));
  EXPECT_EQ(tokens.read, 4);
  EXPECT_EQ(tokens.written, 6 + 4 + 5 + 6);  // "help" is where the second goes wrong
  Writer again(kTexts);
  TokenCount all;
  EXPECT_THAT(GreedyAnswers(again, tokenizer, kItems, {}, &all),
              ElementsAre("hello", "help me, I", "x\xC3\xA9y", "[2]=7"));
  EXPECT_EQ(all.written, 6 + 10 + 5 + 6);
}

TEST(ScoreItems, CountsWhatALikelihoodReads) {
  Writer model(kTexts);
  TokenCount tokens;
  EXPECT_THAT(ScoreItems(model, text::Tokenizer(text::MakeByteTokenizer()), {kItems[0], kItems[1]},
                         Metric::kNegativeLogLikelihood, &tokens),
              ElementsAre(-0.5, -0.5));
  EXPECT_EQ(tokens.read, 2 * (1 + 6));
  EXPECT_EQ(tokens.written, 0);
}

TEST(CanBecomeCorrect, IsFalseOnceNoContinuationIsRight) {
  const Item& word = kItems[0];
  EXPECT_TRUE(CanBecomeCorrect(word, ""));
  EXPECT_TRUE(CanBecomeCorrect(word, "hel"));
  EXPECT_TRUE(CanBecomeCorrect(word, "hello"));
  EXPECT_TRUE(CanBecomeCorrect(word, "hello\nmore"));
  EXPECT_FALSE(CanBecomeCorrect(word, "hello "));
  EXPECT_FALSE(CanBecomeCorrect(word, "hel\n"));
  EXPECT_FALSE(CanBecomeCorrect(word, "Hel"));
  EXPECT_TRUE(CanBecomeCorrect(kItems[2], "x\xEF\xBF\xBD")) << "half a character";
  EXPECT_TRUE(CanBecomeCorrect(kItems[3], "anything"));
}

}  // namespace
}  // namespace forge::eval
