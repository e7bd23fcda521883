// SPDX-License-Identifier: Apache-2.0
#include "serve/choice_text.h"

#include <gmock/gmock.h>

#include "text/byte_tokenizer.h"

namespace forge::serve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// The bytes of the tokens that a piece shows; 256 for the end token.
std::vector<int> Ids(const TextPiece& piece) {
  std::vector<int> ids;
  for (const ShownToken& token : piece.tokens) ids.push_back(token.token);
  return ids;
}

class ChoiceTextTest : public testing::Test {
 protected:
  TextPiece Add(ChoiceText& choice, int id) { return choice.Add({{id, -1.0f}, {}}); }
  const text::Tokenizer tokenizer_{text::MakeByteTokenizer()};
};

TEST_F(ChoiceTextTest, ShowsATokenTogetherWithTheFirstOfItsText) {
  ChoiceText choice(tokenizer_, {"stop"}, 0);
  EXPECT_EQ(Add(choice, 'a').text, "a");
  const TextPiece held = Add(choice, 's');
  EXPECT_EQ(held.text, "");
  EXPECT_THAT(held.tokens, IsEmpty());
  Add(choice, 't');
  const TextPiece all = Add(choice, 'a');
  EXPECT_EQ(all.text, "sta");
  EXPECT_THAT(Ids(all), ElementsAre('s', 't', 'a'));
}

TEST_F(ChoiceTextTest, ShowsNeitherTextNorTokensOfAStopText) {
  ChoiceText choice(tokenizer_, {"stop"}, 0);
  std::string text;
  std::vector<int> ids;
  for (const char byte : std::string("ast stop")) {
    const TextPiece piece = Add(choice, byte);
    text += piece.text;
    for (const int id : Ids(piece)) ids.push_back(id);
  }
  EXPECT_TRUE(choice.stopped());
  const TextPiece rest = choice.Finish();
  EXPECT_EQ(text + rest.text, "ast ");
  EXPECT_THAT(ids, ElementsAre('a', 's', 't', ' '));
  EXPECT_THAT(rest.tokens, IsEmpty());
}

TEST_F(ChoiceTextTest, GivesTheEndTokenAndWhatWasHeldBackAtTheEnd) {
  ChoiceText choice(tokenizer_, {"stop"}, 0);
  Add(choice, 's');
  const TextPiece end = Add(choice, text::kByteEndOfText);
  EXPECT_THAT(end.tokens, IsEmpty());  // it comes after an "s" that may be part of a stop text
  const TextPiece rest = choice.Finish();
  EXPECT_EQ(rest.text, "s");
  EXPECT_THAT(Ids(rest), ElementsAre('s', text::kByteEndOfText));
}

TEST_F(ChoiceTextTest, NeverCutsACharacterAndCountsCharacters) {
  ChoiceText choice(tokenizer_, {}, 10);
  EXPECT_EQ(Add(choice, 0xC3).text, "");
  const TextPiece whole = Add(choice, 0xA9);
  EXPECT_EQ(whole.text, "\xC3\xA9");
  ASSERT_EQ(whole.tokens.size(), 2u);
  EXPECT_EQ(whole.tokens[0].text_offset, 10u);
  EXPECT_EQ(whole.tokens[1].text_offset, 11u);  // the second byte begins no character
  EXPECT_EQ(Add(choice, 'x').tokens[0].text_offset, 11u);
}

TEST_F(ChoiceTextTest, ScoresAllOfAPromptButItsFirstToken) {
  PromptTokens prompt(tokenizer_, 'a');
  const std::vector<ShownToken> first = prompt.Begin();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_FALSE(first[0].log_prob);
  const runtime::ScoredToken tokens[] = {{{text::kByteEndOfText, -2}, {}}, {{'b', -3}, {}}};
  const std::vector<ShownToken> more = prompt.Add(tokens);
  ASSERT_EQ(more.size(), 2u);
  EXPECT_EQ(more[0].text_offset, 1u);
  EXPECT_EQ(more[1].text_offset, 1u);  // a control token has no text
  EXPECT_EQ(more[1].log_prob, -3);
}

}  // namespace
}  // namespace forge::serve
