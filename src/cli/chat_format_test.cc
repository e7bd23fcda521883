// SPDX-License-Identifier: Apache-2.0
#include "cli/chat_format.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "io/json_file.h"
#include "text/byte_tokenizer.h"
#include "text/gguf_tokenizer.h"

namespace forge::cli {
namespace {

TEST(ChatFormat, FindsTheDefaultSystemMessageOfATemplate) {
  EXPECT_EQ(FindDefaultSystem("{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}"), "Be kind.");
  EXPECT_EQ(
      FindDefaultSystem("{{ '<|im_start|>system\\n' }}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}"),
      "Be kind.");
  EXPECT_EQ(FindDefaultSystem("{{ '<|im_start|>system\n' + message['content'] + '<|im_end|>' }}"), "");
  EXPECT_EQ(FindDefaultSystem(""), "");
}

TEST(ChatFormat, RefusesAModelThatWasNotTrainedForConversations) {
  const text::Tokenizer tokenizer(text::MakeByteTokenizer());
  EXPECT_THROW(ChatMl(tokenizer, "base"), Error);
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
  const ChatMl chat(*tokenizer, "SmolLM2");
  int compared = 0;
  const io::Json file = io::ReadJsonFile(golden);
  for (const io::Json& test : file["cases"]) {
    std::vector<ChatMessage> messages;
    bool smuggles = false;  // transformers reads control tokens in a user's text as such; forge does not
    for (const io::Json& message : test["messages"]) {
      messages.push_back({message["role"], message["content"]});
      smuggles = smuggles || messages.back().content.find("<|") != std::string::npos;
    }
    if (messages.front().role != "system")
      messages.insert(messages.begin(), {"system", chat.default_system()});
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
}  // namespace forge::cli
