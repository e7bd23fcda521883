// SPDX-License-Identifier: Apache-2.0
#include "serve/chat_prompt.h"

#include <gtest/gtest.h>

#include "serve/testing_server.h"

namespace forge::serve {
namespace {

class ChatPromptTest : public ::testing::Test {
 protected:
  std::string Text(const ChatPrompt& prompt) const { return tokenizer_.Decode(prompt.tokens); }

  const text::Tokenizer tokenizer_{testing::ByteTokenizerWithChat()};
  const text::ChatFormat format_{tokenizer_, "model"};
  const std::vector<text::ChatMessage> messages_{
      {"system", "S"},      {"user", "one"},      {"assistant", "first"}, {"user", "two"},
      {"assistant", "sec"}, {"assistant", "ond"}, {"user", "three"}};
};

TEST_F(ChatPromptTest, KeepsAllThatFits) {
  const ChatPrompt whole = MakeChatPrompt(format_, messages_, 0);
  EXPECT_EQ(whole.dropped, 0u);
  EXPECT_EQ(MakeChatPrompt(format_, messages_, whole.tokens.size()).tokens, whole.tokens);
  EXPECT_EQ(MakeChatPrompt(format_, messages_, whole.tokens.size() - 1).dropped, 2u);
}

TEST_F(ChatPromptTest, DropsQuestionsWithTheirAnswersAndKeepsTheSystemMessage) {
  const std::size_t last = std::string("system: S\nuser: three\nassistant: ").size();
  EXPECT_EQ(Text(MakeChatPrompt(format_, messages_, last)), "system: S\nuser: three\nassistant: ");
  EXPECT_EQ(MakeChatPrompt(format_, messages_, last).dropped, 5u);
  const ChatPrompt middle = MakeChatPrompt(format_, messages_, last + 45);
  EXPECT_EQ(middle.dropped, 2u);
  EXPECT_EQ(Text(middle), "system: S\nuser: two\nassistant: sec\nassistant: ond\nuser: three\nassistant: ");
}

TEST_F(ChatPromptTest, NeverDropsTheLastMessage) {
  const ChatPrompt prompt = MakeChatPrompt(format_, messages_, 3);
  EXPECT_EQ(prompt.dropped, 5u);
  EXPECT_GT(prompt.tokens.size(), 3u);
  EXPECT_EQ(MakeChatPrompt(format_, {{"user", "alone"}}, 3).dropped, 0u);
}

TEST_F(ChatPromptTest, DropsTheFewestOfVeryMany) {
  std::vector<text::ChatMessage> many;
  for (int i = 0; i < 1000; ++i) many.push_back({i % 2 == 0 ? "user" : "assistant", "x"});
  many.push_back({"user", "x"});
  const std::size_t pair = std::string("user: x\nassistant: x\n").size();
  const ChatPrompt prompt =
      MakeChatPrompt(format_, many, 10 * pair + std::string("user: x\nassistant: ").size());
  EXPECT_EQ(prompt.dropped, 980u);
}

}  // namespace
}  // namespace forge::serve
