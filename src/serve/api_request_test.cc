// SPDX-License-Identifier: Apache-2.0
#include "serve/api_request.h"

#include <gmock/gmock.h>

namespace forge::serve {
namespace {

using io::Json;
using testing::ElementsAre;
using testing::HasSubstr;

ApiRequest Completion(const std::string& body) {
  const auto parsed = ParseCompletionRequest(body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  return std::get<ApiRequest>(parsed);
}
ApiRequest Chat(const std::string& body) {
  const auto parsed = ParseChatRequest(body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  return std::get<ApiRequest>(parsed);
}
ApiError Refused(const std::variant<ApiRequest, ApiError>& parsed) {
  const auto* error = std::get_if<ApiError>(&parsed);
  if (error == nullptr) {
    ADD_FAILURE() << "it was accepted";
    return {};
  }
  EXPECT_EQ(error->status, 400);
  return *error;
}
/// The refusal of a completion with one more field.
ApiError RefusedWith(const std::string& field) {
  return Refused(ParseCompletionRequest(R"({"prompt": "x", )" + field + "}"));
}
ApiError ChatRefusedWith(const std::string& field) {
  return Refused(ParseChatRequest(R"({"messages": [{"role": "user", "content": "x"}], )" + field + "}"));
}

TEST(ApiRequest, ReadsEveryFieldOfACompletion) {
  const ApiRequest request = Completion(R"({"model": "m", "prompt": "a", "n": 3, "max_tokens": 0,
    "temperature": 0.5, "top_p": 0.25, "top_k": 7, "seed": -1, "stop": ["x", "yz"], "stream": true,
    "stream_options": {"include_usage": true}, "echo": true, "logprobs": 5, "user": "u", "best_of": 3,
    "suffix": null, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}})");
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.user, "u");
  EXPECT_EQ(request.n, 3);
  EXPECT_EQ(request.max_tokens, 0);
  EXPECT_EQ(request.temperature, 0.5);
  EXPECT_EQ(request.top_p, 0.25);
  EXPECT_EQ(request.top_k, 7);
  EXPECT_EQ(request.seed, UINT64_MAX);
  EXPECT_THAT(request.stop, ElementsAre("x", "yz"));
  EXPECT_TRUE(request.stream && request.include_usage && request.echo);
  EXPECT_EQ(request.logprobs, 5);
}

TEST(ApiRequest, HasOpenAisDefaults) {
  const ApiRequest request = Completion(R"({"prompt": "a", "temperature": null, "stop": null})");
  EXPECT_EQ(request.temperature, 1);
  EXPECT_EQ(request.top_p, 1);
  EXPECT_EQ(request.n, 1);
  EXPECT_FALSE(request.max_tokens || request.seed || request.logprobs || request.stream);
}

TEST(ApiRequest, ReadsAPromptInEachOfItsForms) {
  const auto prompts = [](const std::string& json) {
    return Completion("{\"prompt\": " + json + "}").prompts;
  };
  EXPECT_THAT(prompts(R"("a")"), ElementsAre(Prompt("a")));
  EXPECT_THAT(prompts(R"(["a", "b"])"), ElementsAre(Prompt("a"), Prompt("b")));
  EXPECT_THAT(prompts("[1, 2]"), ElementsAre(Prompt(std::vector<int>{1, 2})));
  EXPECT_THAT(prompts("[[1], [2, 3]]"),
              ElementsAre(Prompt(std::vector<int>{1}), Prompt(std::vector<int>{2, 3})));
  for (const char* wrong :
       {"7", "{}", "[]", "[1, \"a\"]", "[-1]", "[1.5]", "[[\"a\"]]", "[[1], 2]", "[2147483648]"})
    EXPECT_EQ(Refused(ParseCompletionRequest(std::string("{\"prompt\": ") + wrong + "}")).param, "prompt")
        << wrong;
  EXPECT_THAT(Refused(ParseCompletionRequest("{}")).message, HasSubstr("prompt is missing"));
}

TEST(ApiRequest, NamesAnUnknownFieldAndTheNearestOne) {
  const ApiError error = RefusedWith(R"("max_tokns": 5)");
  EXPECT_EQ(error.param, "max_tokns");
  EXPECT_EQ(error.code, "unknown_parameter");
  EXPECT_THAT(error.message, HasSubstr("did you mean max_tokens?"));
  EXPECT_EQ(RefusedWith(R"("stream": true, "stream_options": {"usage": true})").param,
            "stream_options.usage");
  EXPECT_EQ(Refused(ParseChatRequest(R"({"messages": [{"role": "user", "content": "x", "rol": 1}]})")).param,
            "messages[0].rol");
  EXPECT_LT(RefusedWith("\"" + std::string(100'000, 'x') + "\": 1").message.size(), 200u);
}

TEST(ApiRequest, NamesTheFieldOfTheWrongTypeOrRange) {
  const std::pair<const char*, const char*> wrong[] = {{"temperature", "\"hot\""},
                                                       {"temperature", "2.1"},
                                                       {"temperature", "-0.1"},
                                                       {"temperature", "true"},
                                                       {"top_p", "1.5"},
                                                       {"top_k", "-1"},
                                                       {"top_k", "3.5"},
                                                       {"n", "0"},
                                                       {"n", "129"},
                                                       {"n", "\"2\""},
                                                       {"max_tokens", "-5"},
                                                       {"max_tokens", "99999999999"},
                                                       {"seed", "18446744073709551615"},
                                                       {"seed", "\"a\""},
                                                       {"stop", "7"},
                                                       {"stop", "[7]"},
                                                       {"stop", "\"\""},
                                                       {"stop", "[\"a\", \"\"]"},
                                                       {"stream", "1"},
                                                       {"stream", "\"true\""},
                                                       {"echo", "1"},
                                                       {"logprobs", "21"},
                                                       {"logprobs", "true"},
                                                       {"model", "7"},
                                                       {"user", "[]"},
                                                       {"stream_options", "7"}};
  for (const auto& [name, value] : wrong) {
    const ApiError error = RefusedWith(std::string("\"") + name + "\": " + value);
    EXPECT_EQ(error.param, name) << value;
    EXPECT_THAT(error.message, HasSubstr(name)) << value;
    EXPECT_EQ(error.type, "invalid_request_error");
  }
}

TEST(ApiRequest, ReportsAllProblemsAtOnce) {
  const ApiError error = RefusedWith(R"("temperature": "a", "n": 0, "tmp": 1)");
  for (const char* part :
       {"temperature must be a number, not a string", "n is 0; it must be 1 to 128", "tmp is not"})
    EXPECT_THAT(error.message, HasSubstr(part));
}

TEST(ApiRequest, RefusesWhatForgeDoesNotHaveUnlessItChangesNothing) {
  Chat(R"({"messages": [{"role": "user", "content": "x", "name": null}], "tools": [], "tool_choice": "none",
    "response_format": {"type": "text"}, "store": false, "modalities": ["text"], "metadata": {}})");
  for (const char* field :
       {R"("tools": [{"type": "function"}])", R"("response_format": {"type": "json_object"})",
        R"("logit_bias": {"50": 1})", R"("presence_penalty": 0.5)", R"("reasoning_effort": "low")"})
    EXPECT_EQ(ChatRefusedWith(field).code, "unsupported_parameter") << field;
  EXPECT_EQ(RefusedWith(R"("n": 2, "best_of": 5)").param, "best_of");
  EXPECT_EQ(RefusedWith(R"("suffix": "x")").param, "suffix");
}

TEST(ApiRequest, ReadsTheMessagesOfAChat) {
  const ApiRequest request = Chat(R"({"messages": [{"role": "developer", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "content": "c", "tool_calls": [], "refusal": null}], "max_completion_tokens": 9,
    "logprobs": true, "top_logprobs": 2, "truncate": true})");
  ASSERT_EQ(request.messages.size(), 3u);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].content, "ab");
  EXPECT_EQ(request.messages[2].content, "c");
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.logprobs, 2);
  EXPECT_TRUE(request.truncate);
}

TEST(ApiRequest, RefusesMessagesThatAreNone) {
  const std::pair<const char*, const char*> wrong[] = {
      {"\"hello\"", "messages"},
      {"[]", "messages"},
      {"null", "messages"},
      {"[7]", "messages[0]"},
      {R"([{"content": "x"}])", "messages[0].role"},
      {R"([{"role": "tool", "content": "x"}])", "messages[0].role"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"role": "user", "content": 7}])", "messages[0].content"},
      {R"([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "image_url"}]}])",
       "messages[1].content"}};
  for (const auto& [messages, param] : wrong)
    EXPECT_EQ(Refused(ParseChatRequest(std::string("{\"messages\": ") + messages + "}")).param, param)
        << messages;
}

TEST(ApiRequest, RefusesWhatContradictsItself) {
  EXPECT_EQ(ChatRefusedWith(R"("max_tokens": 5, "max_completion_tokens": 6)").param, "max_tokens");
  EXPECT_EQ(ChatRefusedWith(R"("max_tokens": 0)").param, "max_tokens");
  EXPECT_EQ(ChatRefusedWith(R"("top_logprobs": 2)").param, "top_logprobs");
  EXPECT_EQ(RefusedWith(R"("stream_options": {})").param, "stream_options");
  EXPECT_EQ(Refused(ParseCompletionRequest(R"({"prompt": ["a", "b"], "n": 65})")).param, "n");
}

TEST(ApiRequest, RefusesWhatIsNoObject) {
  for (const char* body :
       {"", "{\"prompt\": \"x\", ", "[]", "7", "null", "{\"prompt\": \"\xFF\"}", "{\"prompt\": 1e999}"})
    EXPECT_EQ(Refused(ParseCompletionRequest(body)).code, "invalid_json") << body;
  const std::string deep = "{\"prompt\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_EQ(Refused(ParseCompletionRequest(deep)).code, "invalid_json");
}

}  // namespace
}  // namespace forge::serve
