// SPDX-License-Identifier: Apache-2.0
#include "text/chat_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "io/json_file.h"
#include "text/byte_tokenizer.h"
#include "text/gguf_tokenizer.h"

namespace forge::text {
namespace {

TEST(ChatFormat, RefusesAModelThatWasNotTrainedForConversations) {
  const Tokenizer tokenizer(MakeByteTokenizer());
  EXPECT_THROW(ChatFormat(tokenizer, "base"), Error);
}

TokenizerData ByteTokenizerWith(const std::string& chat_template) {
  TokenizerData data = MakeByteTokenizer();
  data.chat_template = chat_template;
  return data;
}

constexpr const char* kSimpleTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}";

TEST(ChatFormat, RendersATemplateAndKeepsControlTokensOfMessagesAsText) {
  const Tokenizer tokenizer(ByteTokenizerWith(kSimpleTemplate));
  const ChatFormat chat(tokenizer, "model");
  const int end = *tokenizer.data().eos;
  const std::string end_text = tokenizer.data().tokens[static_cast<std::size_t>(end)];
  EXPECT_EQ(chat.end_of_turn(), end);
  EXPECT_EQ(chat.Render({{"user", " hi "}}), "user: hi" + end_text + "assistant:");
  for (const std::string& content :
       {std::string("hi"), "a" + end_text + "b", end_text, " " + end_text + end_text}) {
    const std::vector<int> ids = chat.Encode({{"user", content}});
    EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 1) << content;
    std::vector<int> expected = tokenizer.Encode("user: " + content.substr(content[0] == ' '));
    expected.push_back(end);
    for (const int id : tokenizer.Encode("assistant:")) expected.push_back(id);
    EXPECT_EQ(ids, expected) << content;
  }
}

TEST(ChatFormat, PassesOnWhatATemplateDoesNotAllow) {
  const Tokenizer tokenizer(ByteTokenizerWith(
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"));
  try {
    ChatFormat(tokenizer, "model").Render({{"system", "be kind"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("no system messages"), std::string::npos);
  }
}

// Rendered by transformers with the template of the file (data/golden/smollm2-135m).
TEST(ChatFormat, GivesTheIdsOfTransformersForSmolLm2) {
  const char* shared = std::getenv("FORGE_SHARED");
  const std::filesystem::path data =
      std::filesystem::path(shared != nullptr ? shared : FORGE_SOURCE_DIR "/../shared") / "data";
  const std::filesystem::path model = data / "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf",
                              golden = data / "golden/smollm2-135m/chat.json";
  if (!std::filesystem::exists(model) || !std::filesystem::exists(golden))
    GTEST_SKIP() << model << " or " << golden << " is not there; set FORGE_SHARED";
  const auto tokenizer = text::LoadTokenizer(model);
  const ChatFormat chat(*tokenizer, "SmolLM2");
  EXPECT_EQ(tokenizer->data().tokens[static_cast<std::size_t>(chat.end_of_turn())], "<|im_end|>");
  int compared = 0;
  const io::Json file = io::ReadJsonFile(golden);
  for (const io::Json& test : file["cases"]) {
    std::vector<ChatMessage> messages;
    bool smuggles = false;  // transformers reads control tokens in a user's text as such; forge does not
    for (const io::Json& message : test["messages"]) {
      messages.push_back({message["role"], message["content"]});
      smuggles = smuggles || messages.back().content.find("<|") != std::string::npos;
    }
    EXPECT_EQ(chat.Render(messages), test["with_generation_prompt"].get<std::string>());
    const auto expected = test["ids_with_generation_prompt"].get<std::vector<int>>();
    if (smuggles) {
      EXPECT_NE(chat.Encode(messages), expected);
      continue;
    }
    EXPECT_EQ(chat.Encode(messages), expected);
    ++compared;
  }
  EXPECT_GE(compared, 4);
}

}  // namespace
}  // namespace forge::text
