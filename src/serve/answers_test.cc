// SPDX-License-Identifier: Apache-2.0
#include "serve/answers.h"

#include <gmock/gmock.h>

#include "serve/answer_stream.h"
#include "text/byte_tokenizer.h"

namespace forge::serve {
namespace {

using io::Json;

class AnswersTest : public testing::Test {
 protected:
  const text::Tokenizer tokenizer_{text::MakeByteTokenizer()};
};

TEST_F(AnswersTest, PutsAnEventOnOneLineWhateverItHolds) {
  const std::string event = ServerSentEvent({{"text", "a\nb\r\n\n\xFF data: x"}});
  EXPECT_TRUE(event.starts_with("data: {"));
  EXPECT_TRUE(event.ends_with("}\n\n"));
  EXPECT_EQ(event.find('\n'), event.size() - 2);
  EXPECT_EQ(event.find('\r'), std::string::npos);
  EXPECT_EQ(Json::parse(event.substr(6))["text"], "a\nb\r\n\n\xEF\xBF\xBD data: x");
}

TEST_F(AnswersTest, PutsThePiecesOfEachChoiceTogether) {
  const AnswerWriter writer(tokenizer_, "m", {});
  const std::vector<ReplyEvent> events{{1, {"x", {}}, ""},
                                       {0, {"a", {}}, ""},
                                       {1, {"y", {}}, "stop"},
                                       {0, {"b", {}}, ""},
                                       {0, {"", {}}, "length"}};
  const Json answer = writer.Whole(events, 2, {3, 4});
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["choices"][0]["text"], "ab");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["choices"][1]["text"], "xy");
  EXPECT_EQ(answer["choices"][1]["finish_reason"], "stop");
  EXPECT_EQ(answer["choices"][1]["index"], 1);
  EXPECT_TRUE(answer["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(answer["usage"],
            Json::parse(R"({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})"));
}

TEST_F(AnswersTest, WritesLogprobsInTheLegacyFormForCompletions) {
  const AnswerWriter writer(tokenizer_, "m", {.has_logprobs = true});
  const ReplyEvent event{
      0, {"ab", {{'a', std::nullopt, {}, 0}, {0xC3, -1.5f, {{'x', -0.25f}, {'y', -3}}, 1}}}, "length"};
  EXPECT_EQ(writer.Whole({event}, 1, {})["choices"][0]["logprobs"],
            Json::parse(R"({"tokens": ["a", "bytes:\\xc3"], "token_logprobs": [null, -1.5],
              "top_logprobs": [null, {"x": -0.25, "y": -3.0, "bytes:\\xc3": -1.5}], "text_offset": [0, 1]})"));
}

TEST_F(AnswersTest, WritesLogprobsWithBytesForChat) {
  const AnswerWriter writer(tokenizer_, "m", {.is_chat = true, .has_logprobs = true});
  const ReplyEvent event{0, {"", {{text::kByteEndOfText, -INFINITY, {{'x', -0.25f}}, 1}}}, "stop"};
  const Json content = writer.Whole({event}, 1, {})["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(content[0]["token"], "<|endoftext|>");
  EXPECT_EQ(content[0]["logprob"], -9999);
  EXPECT_EQ(content[0]["top_logprobs"], Json::parse(R"([{"token": "x", "logprob": -0.25, "bytes": [120]}])"));
}

TEST_F(AnswersTest, StreamsOpeningsPiecesUsageAndTheEnd) {
  const auto reply = std::make_shared<Reply>();
  Reply::ChoiceOptions options{.prompt = std::make_shared<const std::vector<int>>(1, 'p'), .generation = {}};
  const runtime::ServingRequest sequence = reply->AddChoice(tokenizer_, options);
  AnswerStream stream(reply, AnswerWriter(tokenizer_, "m", {.is_chat = true, .has_usage_chunk = true}), true,
                      1, 5);
  const auto next = [&] {
    std::vector<Json> events;
    const std::string text = stream.Next(std::chrono::milliseconds(0));
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find("\n\n", at);
      const std::string data = text.substr(at + 6, end - at - 6);
      events.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
      at = end + 2;
    }
    return events;
  };
  const std::vector<Json> opening = next();
  ASSERT_EQ(opening.size(), 1u);
  EXPECT_EQ(opening[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_TRUE(opening[0]["usage"].is_null());
  EXPECT_TRUE(next().empty());
  sequence.on_token({{'h', -1}, {}});
  EXPECT_EQ(next()[0]["choices"][0]["delta"], Json::parse(R"({"content": "h"})"));
  EXPECT_FALSE(stream.ended());
  sequence.on_end(runtime::SequenceEnd::kStopToken);
  const std::vector<Json> rest = next();
  ASSERT_EQ(rest.size(), 3u);
  EXPECT_EQ(rest[0]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(rest[1]["choices"], Json::array());
  EXPECT_EQ(rest[1]["usage"]["total_tokens"], 6);
  EXPECT_EQ(rest[2], "[DONE]");
  EXPECT_TRUE(stream.ended());
}

TEST_F(AnswersTest, TellsOfTroubleInTheStream) {
  const auto reply = std::make_shared<Reply>();
  Reply::ChoiceOptions options{.prompt = std::make_shared<const std::vector<int>>(1, 'p'), .generation = {}};
  const runtime::ServingRequest sequence = reply->AddChoice(tokenizer_, options);
  AnswerStream stream(reply, AnswerWriter(tokenizer_, "m", {}), false, 1, std::nullopt);
  sequence.on_token({{'h', -1}, {}});
  reply->Fail(std::make_exception_ptr(std::bad_alloc()));
  EXPECT_THAT(stream.Next(std::chrono::milliseconds(0)),
              testing::HasSubstr("\"text\":\"h\""));  // what came before
  const std::string text = stream.Next(std::chrono::milliseconds(0));
  EXPECT_THAT(text, testing::HasSubstr("\"code\":\"out_of_memory\""));
  EXPECT_TRUE(text.ends_with(kStreamEnd));
  EXPECT_TRUE(stream.ended());
}

}  // namespace
}  // namespace forge::serve
