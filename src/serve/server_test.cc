// SPDX-License-Identifier: Apache-2.0
#include "serve/server.h"

#include <gmock/gmock.h>

#include <future>
#include <set>

#include "base/error.h"
#include "http/raw_connection.h"
#include "serve/testing_server.h"
#include "text/text_stream.h"
#include "text/utf8.h"

namespace forge::serve {
namespace {

using http::testing::RawConnection;
using io::Json;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RunningServer;
using testing::TinyModel;

constexpr int kForEver = 150'000;  // tokens that nobody waits for; minutes

class ServeTest : public ::testing::Test {
 protected:
  /// The events of a stream, the last one "[DONE]".
  static std::vector<Json> Events(const std::string& text) {
    std::vector<Json> events;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find("\n\n", at);
      EXPECT_EQ(text.substr(at, 6), "data: ");
      const std::string data = text.substr(at + 6, end - at - 6);
      events.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
      at = end + 2;
    }
    return events;
  }
  static httplib::Result Ask(const RunningServer& server, const std::string& path, const Json& body) {
    return server.Client().Post(path, body.dump(), "application/json");
  }
  static Json Complete(const RunningServer& server, const Json& body) {
    const httplib::Result answer = Ask(server, "/v1/completions", body);
    EXPECT_EQ(answer->status, 200) << answer->body;
    return Json::parse(answer->body);
  }
  static std::string Text(const Json& answer) { return answer["choices"][0]["text"]; }
  /// The refusal of a request, which must have the form of the API.
  static Json Refused(const httplib::Result& answer, int status) {
    EXPECT_TRUE(answer);
    EXPECT_EQ(answer->status, status) << answer->body;
    const Json error = Json::parse(answer->body)["error"];
    for (const char* field : {"message", "type", "param", "code"}) EXPECT_TRUE(error.contains(field));
    EXPECT_NE(error["message"], "");
    return error;
  }
  static int Running(const RunningServer& server) {
    return Json::parse(server.Client().Get("/health")->body)["running"];
  }
  static void WaitUntilRunning(const RunningServer& server, int count) {
    while (Running(server) != count) std::this_thread::sleep_for(milliseconds(2));
  }
  /// A request as bytes, for connections that end in the middle.
  static std::string RawRequest(const RunningServer& server, const Json& body) {
    const std::string text = body.dump();
    return "POST /v1/completions HTTP/1.1\r\nHost: localhost:" + std::to_string(server.port()) +
           "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) +
           "\r\n\r\n" + text;
  }

  const TinyModel model_{200'000};
  /// A model whose context a test can fill; it never ends by itself.
  static ServedModel Endless(const TinyModel& model) {
    ServedModel served = model.Served();
    served.stop_token_ids.clear();
    return served;
  }
  static ServerOptions LongAnswers() {
    ServerOptions options;
    options.plan.max_tokens = 1'000'000;
    return options;
  }
};

TEST_F(ServeTest, ListsItsModel) {
  const RunningServer server(model_.Served());
  const Json models = Json::parse(server.Client().Get("/v1/models")->body);
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(models["data"][0]["max_model_len"], 200'000);
  EXPECT_EQ(Json::parse(server.Client().Get("/v1/models/tiny")->body)["id"], "tiny");
  EXPECT_EQ(Refused(server.Client().Get("/v1/models/other"), 404)["code"], "model_not_found");
}

TEST_F(ServeTest, GivesTheTokensThatTheModelGivesAlone) {
  const RunningServer server(Endless(model_));
  for (const double temperature : {0.0, 0.9}) {
    const Json answer = Complete(server, {{"prompt", "What is"},
                                          {"max_tokens", 20},
                                          {"temperature", temperature},
                                          {"seed", 11},
                                          {"n", 2},
                                          {"logprobs", 0}});
    for (int i = 0; i < 2; ++i) {
      const model::GenerateRequest alone{model_.tokenizer.Encode("What is"), 11u + static_cast<unsigned>(i)};
      TinyModel reference(200'000);
      const model::Generation generation = reference.native.Generate(
          std::span(&alone, 1), {.max_new_tokens = 20, .temperature = temperature})[0];
      std::size_t cut = 0;
      EXPECT_EQ(answer["choices"][i]["text"].get<std::string>().substr(0, 5),
                text::CleanUtf8(model_.tokenizer.Decode(generation.tokens, true), cut).substr(0, 5));
      EXPECT_EQ(answer["choices"][i]["logprobs"]["token_logprobs"].get<std::vector<float>>(),
                generation.log_probs);
    }
    EXPECT_EQ(answer["usage"],
              Json::parse(R"({"prompt_tokens": 7, "completion_tokens": 40, "total_tokens": 47})"));
  }
}

TEST_F(ServeTest, StreamsWhatItGivesAsAWhole) {
  const RunningServer server(Endless(model_));
  Json body = {{"prompt", "abc"}, {"max_tokens", 60}, {"temperature", 1},
               {"seed", 4},       {"n", 2},           {"logprobs", 2}};
  const Json whole = Complete(server, body);
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const httplib::Result answer = Ask(server, "/v1/completions", body);
  EXPECT_THAT(answer->get_header_value("Content-Type"), HasSubstr("text/event-stream"));
  const std::vector<Json> events = Events(answer->body);
  std::vector<std::string> texts(2), reasons(2);
  std::vector<std::vector<Json>> logprobs(2);
  for (std::size_t i = 0; i + 2 < events.size(); ++i) {
    const Json& choice = events[i]["choices"][0];
    const auto index = choice["index"].get<std::size_t>();
    const std::string piece = choice["text"];
    EXPECT_TRUE(text::IsUtf8(piece));
    texts[index] += piece;
    if (!choice["finish_reason"].is_null()) reasons[index] = choice["finish_reason"];
    if (!choice["logprobs"].is_null())
      for (const Json& value : choice["logprobs"]["token_logprobs"]) logprobs[index].push_back(value);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(texts[i], whole["choices"][i]["text"]);
    EXPECT_EQ(reasons[i], "length");
    EXPECT_EQ(Json(logprobs[i]), whole["choices"][i]["logprobs"]["token_logprobs"]);
  }
  EXPECT_EQ(events[events.size() - 2]["usage"], whole["usage"]);
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(ServeTest, NeverShowsAStopText) {
  const RunningServer server(Endless(model_));
  Json body = {{"prompt", "abc"}, {"max_tokens", 60}, {"temperature", 1}, {"seed", 4}};
  const std::string whole = Text(Complete(server, body));
  std::string stop;  // two whole characters that come for the first time
  for (std::size_t at = 8; at + 2 < whole.size() && stop.empty(); ++at)
    if (whole[at] > 31 && whole[at + 1] > 31 && whole.find(whole.substr(at, 2)) == at)
      stop = whole.substr(at, 2);
  ASSERT_NE(stop, "");
  body["stop"] = {"no such text", stop};
  body["logprobs"] = 0;
  const Json stopped = Complete(server, body);
  EXPECT_EQ(Text(stopped), whole.substr(0, whole.find(stop)));
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  EXPECT_LT(stopped["usage"]["completion_tokens"], 60);
  // The two tokens of the stop text were made, and are not shown.
  EXPECT_EQ(stopped["choices"][0]["logprobs"]["tokens"].size() + 2, stopped["usage"]["completion_tokens"]);
  body["stream"] = true;
  std::string streamed;
  for (const Json& event : Events(Ask(server, "/v1/completions", body)->body))
    if (event.is_object()) streamed += event["choices"][0]["text"];
  EXPECT_EQ(streamed, Text(stopped));
}

TEST_F(ServeTest, EndsAtAControlTokenThatAStopTextSpells) {
  const RunningServer server(Endless(model_));
  // At a high temperature each of 259 tokens comes soon.
  const Json answer = Complete(server, {{"prompt", "abc"},
                                        {"max_tokens", 4000},
                                        {"temperature", 2},
                                        {"seed", 1},
                                        {"stop", "<|startofthought|>"}});
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
}

TEST_F(ServeTest, ScoresThePromptForEcho) {
  const RunningServer server(Endless(model_));
  const std::vector<int> prompt{'a', 'b', 'c', 200, 'e'};
  std::vector<float> expected;
  model_.native.VisitScores(std::vector<model::ScoredSequence>{{prompt, 1}},
                            [&](std::size_t, std::size_t position, const float*, double log_prob) {
                              expected.resize(prompt.size());
                              expected[position] = static_cast<float>(log_prob);
                            });
  for (const int max_tokens : {0, 1}) {
    const Json answer = Complete(server, {{"prompt", Json::array({prompt})},
                                          {"max_tokens", max_tokens},
                                          {"echo", true},
                                          {"logprobs", 1},
                                          {"temperature", 0}});
    const Json& logprobs = answer["choices"][0]["logprobs"];
    ASSERT_EQ(logprobs["token_logprobs"].size(), prompt.size() + static_cast<std::size_t>(max_tokens));
    EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
    for (std::size_t i = 1; i < prompt.size(); ++i)
      EXPECT_EQ(logprobs["token_logprobs"][i].get<float>(), expected[i]);
    EXPECT_EQ(logprobs["top_logprobs"].size(), logprobs["token_logprobs"].size());
    EXPECT_EQ(logprobs["text_offset"][1], 1);
    EXPECT_THAT(Text(answer), ::testing::StartsWith("abc"));
    EXPECT_EQ(answer["usage"]["completion_tokens"], max_tokens);
  }
  EXPECT_EQ(Text(Complete(server, {{"prompt", "gr\xC3\xBC\xC3\x9F"}, {"max_tokens", 0}, {"echo", true}})),
            "gr\xC3\xBC\xC3\x9F");
}

TEST_F(ServeTest, AnswersAListOfPromptsInOrder) {
  const RunningServer server(Endless(model_));
  const Json both =
      Complete(server, {{"prompt", {"first", "second"}}, {"max_tokens", 8}, {"temperature", 0}, {"n", 2}});
  ASSERT_EQ(both["choices"].size(), 4u);
  const std::string second =
      Text(Complete(server, {{"prompt", "second"}, {"max_tokens", 8}, {"temperature", 0}}));
  EXPECT_EQ(both["choices"][2]["text"], second);
  EXPECT_EQ(both["choices"][3]["text"], second);
  EXPECT_EQ(both["choices"][3]["index"], 3);
  EXPECT_EQ(both["usage"]["prompt_tokens"], 11);
}

TEST_F(ServeTest, AnswersAChatThroughItsTemplate) {
  const RunningServer server(Endless(model_));
  const Json messages = Json::parse(R"([{"role": "user", "content": "hi"}])");
  const httplib::Result answer =
      Ask(server, "/v1/chat/completions",
          {{"messages", messages}, {"max_tokens", 9}, {"temperature", 0}, {"logprobs", true}});
  ASSERT_EQ(answer->status, 200) << answer->body;
  const Json chat = Json::parse(answer->body);
  EXPECT_EQ(chat["object"], "chat.completion");
  EXPECT_EQ(chat["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(chat["choices"][0]["logprobs"]["content"].size(), 9u);
  EXPECT_EQ(
      chat["choices"][0]["message"]["content"],
      Text(Complete(server, {{"prompt", "user: hi\nassistant: "}, {"max_tokens", 9}, {"temperature", 0}})));
  EXPECT_THAT(Refused(Ask(server, "/v1/chat/completions",
                          {{"messages", Json::parse(R"([{"role": "assistant", "content": "x"}])")}}),
                      400)["message"],
              HasSubstr("the user begins"));
  ServedModel plain = model_.Served();
  plain.chat = nullptr;
  const RunningServer without(plain);
  EXPECT_EQ(Refused(Ask(without, "/v1/chat/completions", {{"messages", messages}}), 400)["code"],
            "no_chat_template");
}

TEST_F(ServeTest, RefusesWhatTheModelCannotDo) {
  const TinyModel small(64);
  ServerOptions options;
  options.plan.max_tokens = 32;
  options.scheduler.batch.key_value_bytes = 40 * runtime::KeyValueBytesPerToken(small.config) * 2;
  const RunningServer server(small.Served(), options);
  const auto refused = [&](const Json& body) { return Refused(Ask(server, "/v1/completions", body), 400); };
  EXPECT_EQ(refused({{"prompt", "x"}, {"model", "gpt"}})["code"], "model_not_found");
  EXPECT_EQ(refused({{"prompt", std::string(65, 'x')}})["code"], "context_length_exceeded");
  EXPECT_EQ(refused({{"prompt", ""}})["param"], "prompt");
  EXPECT_EQ(refused({{"prompt", {1, 259}}})["param"], "prompt");
  EXPECT_THAT(refused({{"prompt", "x"}, {"max_tokens", 33}})["message"], HasSubstr("allows 32"));
  EXPECT_THAT(refused({{"prompt", std::string(60, 'x')}, {"max_tokens", 32}})["message"],
              HasSubstr("--kv-cache-mb"));
  EXPECT_EQ(refused({{"prompt", "x"}, {"max_tokns", 3}})["param"], "max_tokns");
  EXPECT_EQ(Complete(server, {{"prompt", "x"}, {"model", "tiny"}, {"max_tokens", 2}})["model"], "tiny");
}

TEST_F(ServeTest, DropsTheOldestMessagesOfAChatWhenItMay) {
  const TinyModel small(64);
  const RunningServer server(small.Served());
  Json messages = Json::array();
  for (int i = 0; i < 10; ++i) {
    messages.push_back({{"role", "user"}, {"content", "q" + std::to_string(i)}});
    messages.push_back({{"role", "assistant"}, {"content", "a"}});
  }
  messages.push_back({{"role", "user"}, {"content", "end"}});
  const Json body = {{"messages", messages}, {"max_tokens", 10}, {"temperature", 0}};
  EXPECT_THAT(Refused(Ask(server, "/v1/chat/completions", body), 400)["message"], HasSubstr("truncate"));
  Json allowed = body;
  allowed["truncate"] = true;
  const httplib::Result answer = Ask(server, "/v1/chat/completions", allowed);
  EXPECT_EQ(answer->status, 200) << answer->body;
  const int dropped = std::stoi(answer->get_header_value("X-Forge-Dropped-Messages"));
  EXPECT_GT(dropped, 10);
  EXPECT_EQ(dropped % 2, 0);
  EXPECT_EQ(Json::parse(answer->body)["usage"]["completion_tokens"], 10);  // room was kept for them
  ServerOptions options;
  options.plan.truncate = true;
  const RunningServer truncates(small.Served(), options);
  EXPECT_EQ(Ask(truncates, "/v1/chat/completions", body)->get_header_value("X-Forge-Dropped-Messages"),
            std::to_string(dropped));
}

TEST_F(ServeTest, KnowsItsPathsMethodsAndBodies) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  const RunningServer server(model_.Served(), options);
  EXPECT_EQ(Refused(server.Client().Get("/no/such/path"), 404)["code"], "unknown_path");
  const httplib::Result wrong = server.Client().Get("/v1/completions");
  EXPECT_EQ(Refused(wrong, 405)["code"], "wrong_method");
  EXPECT_EQ(wrong->get_header_value("Allow"), "POST");
  Refused(server.Client().Delete("/v1/models"), 405);
  Refused(server.Client().Post("/v1/completions", "{\"prompt\": ", "application/json"), 400);
  Refused(server.Client().Post("/v1/completions", std::string(1001, ' '), "application/json"), 413);
  Refused(server.Client().Post(
              "/v1/completions",
              [](std::size_t, httplib::DataSink& sink) {  // chunked: its length is not known before
                const std::string piece(600, ' ');
                sink.write(piece.data(), piece.size());
                sink.write(piece.data(), piece.size());
                sink.done();
                return true;
              },
              "application/json"),
          413);
  Refused(
      server.Client().Post("/v1/completions", httplib::MultipartFormDataItems{{"a", "b", "c", "text/plain"}}),
      415);
  Refused(server.Client().Post("/v1/completions", httplib::Headers{{"Content-Encoding", "gzip"}}, "x",
                               "application/json"),
          415);
  // What curl -d sends without -H.
  EXPECT_EQ(
      server.Client()
          .Post("/v1/completions", R"({"prompt": "x", "max_tokens": 1})", "application/x-www-form-urlencoded")
          ->status,
      200);
}

TEST_F(ServeTest, AsksForItsKey) {
  ServerOptions options;
  options.api_key = "secret";
  const RunningServer server(model_.Served(), options);
  const auto status = [&](const char* path, const httplib::Headers& headers) {
    return server.Client().Get(path, headers)->status;
  };
  EXPECT_EQ(status("/v1/models", {}), 401);
  EXPECT_EQ(status("/metrics", {}), 401);
  EXPECT_EQ(status("/other", {}), 401);
  for (const char* wrong : {"Bearer wrong", "Bearer secre", "Bearer secrets", "Bearer ", "secret",
                            "Basic secret", "Bearer secretsecret"})
    EXPECT_EQ(status("/v1/models", {{"Authorization", wrong}}), 401) << wrong;
  EXPECT_EQ(status("/v1/models", {{"Authorization", "Bearer secret"}}), 200);
  for (const char* open : {"/", "/health"}) EXPECT_EQ(status(open, {}), 200) << open;
  EXPECT_EQ(Refused(Ask(server, "/v1/completions", {{"prompt", "x"}}), 401)["code"], "invalid_api_key");
}

TEST_F(ServeTest, RefusesForeignHostsAndPages) {
  ServerOptions options;
  options.cors_origins = {"http://friend.example"};
  const RunningServer server(model_.Served(), options);
  const std::string own = "localhost:" + std::to_string(server.port());
  const auto status = [&](const httplib::Headers& headers) {
    return server.Client().Get("/v1/models", headers)->status;
  };
  EXPECT_EQ(status({{"Host", own}, {"Origin", "http://" + own}}), 200);
  EXPECT_EQ(status({{"Host", "evil.example"}}), 403);
  EXPECT_EQ(status({{"Host", own}, {"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status({{"Host", own}, {"Origin", "null"}}), 403);
  const httplib::Headers friendly{{"Host", own}, {"Origin", "http://friend.example"}};
  const httplib::Result answer = server.Client().Get("/v1/models", friendly);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Origin"), "http://friend.example");
  const httplib::Result preflight = server.Client().Options("/v1/completions", friendly);
  EXPECT_EQ(preflight->status, 204);
  EXPECT_THAT(preflight->get_header_value("Access-Control-Allow-Headers"), HasSubstr("Authorization"));
  EXPECT_EQ(
      server.Client().Options("/v1/completions", {{"Host", own}, {"Origin", "http://evil.example"}})->status,
      403);
}

TEST_F(ServeTest, ListensForOthersOnlyWithAKey) {
  for (const char* host : {"0.0.0.0", "192.168.0.1", "::"}) {
    try {
      Server(model_.Served(), {.host = host, .port = 0});
      ADD_FAILURE() << host;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  }
  ServerOptions options;
  options.host = "0.0.0.0";
  options.api_key = "k";
  const RunningServer server(model_.Served(), options);
  const auto status = [&](httplib::Headers headers) {
    headers.emplace("Authorization", "Bearer k");
    return server.Client().Get("/v1/models", headers)->status;
  };
  EXPECT_EQ(status({{"Host", "any.example"}}), 200);
  EXPECT_EQ(status({{"Host", "any.example"}, {"Origin", "http://any.example"}}), 200);
  EXPECT_EQ(status({{"Host", "any.example"}, {"Origin", "http://evil.example"}}), 403);
}

TEST_F(ServeTest, RefusesAPortThatIsTaken) {
  const RunningServer server(model_.Served());
  try {
    Server(model_.Served(), {.port = server.port()});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
  }
}

TEST_F(ServeTest, EndsASequenceWhoseClientWentAway) {
  const RunningServer server(Endless(model_), LongAnswers());
  for (const bool stream : {false, true}) {
    {
      const RawConnection client(server.port());
      ASSERT_TRUE(client.Connected());
      client.Send(
          RawRequest(server, {{"prompt", "x"}, {"max_tokens", kForEver}, {"stream", stream}, {"n", 3}}));
      WaitUntilRunning(server, 3);
    }
    const auto gone = std::chrono::steady_clock::now();
    WaitUntilRunning(server, 0);
    EXPECT_LT(std::chrono::steady_clock::now() - gone, std::chrono::seconds(2)) << stream;
  }
  EXPECT_THAT(server.Client().Get("/metrics")->body, HasSubstr("\nforge_sequences_cancelled_total 6\n"));
}

TEST_F(ServeTest, RefusesWhatItsQueueCannotHoldAndAnswersTheRestLater) {
  ServerOptions options = LongAnswers();
  options.scheduler = {.batch = {.max_sequences = 1}, .max_waiting = 2};
  const RunningServer server(Endless(model_), options);
  auto blocker = std::make_unique<RawConnection>(server.port());
  ASSERT_TRUE(blocker->Connected());
  blocker->Send(RawRequest(server, {{"prompt", "x"}, {"max_tokens", kForEver}}));
  WaitUntilRunning(server, 1);
  const auto ask = [&] {
    return Ask(server, "/v1/completions", {{"prompt", "x"}, {"max_tokens", 2}})->status;
  };
  std::vector<std::future<int>> waiting;
  for (int i = 0; i < 2; ++i) waiting.push_back(std::async(std::launch::async, ask));
  while (Json::parse(server.Client().Get("/health")->body)["waiting"] != 2)
    std::this_thread::sleep_for(milliseconds(2));
  const httplib::Result full = Ask(server, "/v1/completions", {{"prompt", "x"}});
  EXPECT_EQ(Refused(full, 429)["code"], "queue_full");
  EXPECT_GE(std::stoi(full->get_header_value("Retry-After")), 1);
  blocker.reset();
  for (std::future<int>& status : waiting) EXPECT_EQ(status.get(), 200);
}

TEST_F(ServeTest, ForgetsAStreamThatWaitsAndWhoseClientWentAway) {
  ServerOptions options = LongAnswers();
  options.scheduler = {.batch = {.max_sequences = 1}};
  const RunningServer server(Endless(model_), options);
  const Json body = {{"prompt", "x"}, {"max_tokens", kForEver}, {"stream", true}};
  const RawConnection blocker(server.port());
  ASSERT_TRUE(blocker.Connected());
  blocker.Send(RawRequest(server, body));
  WaitUntilRunning(server, 1);
  const auto wait_until_waiting = [&](int count) {
    while (Json::parse(server.Client().Get("/health")->body)["waiting"] != count)
      std::this_thread::sleep_for(milliseconds(2));
  };
  {
    const RawConnection client(server.port());
    ASSERT_TRUE(client.Connected());
    client.Send(RawRequest(server, body));
    wait_until_waiting(1);
  }
  wait_until_waiting(0);
  EXPECT_EQ(Running(server), 1);
}

TEST_F(ServeTest, FinishesWhatRunsBeforeItStops) {
  RunningServer server(Endless(model_), LongAnswers());
  auto blocker = std::make_unique<RawConnection>(server.port());
  ASSERT_TRUE(blocker->Connected());
  blocker->Send(RawRequest(server, {{"prompt", "x"}, {"max_tokens", kForEver}}));
  auto answer = std::async(std::launch::async, [&] {
    return Complete(server, {{"prompt", "x"}, {"max_tokens", 3000}})["usage"]["completion_tokens"];
  });
  WaitUntilRunning(server, 2);
  server.RequestStop();
  for (;;) {  // until it has noticed
    const httplib::Result refused = Ask(server, "/v1/completions", {{"prompt", "x"}, {"max_tokens", 1}});
    ASSERT_TRUE(refused);
    if (refused->status == 200) continue;
    EXPECT_EQ(Refused(refused, 503)["code"], "server_stopping");
    break;
  }
  EXPECT_EQ(answer.get(), 3000);
  blocker.reset();
  EXPECT_EQ(server.Stop(), 0);
}

TEST_F(ServeTest, CutsWhatIsNotDoneWhenTheTimeIsOver) {
  ServerOptions options = LongAnswers();
  options.drain = milliseconds(100);
  RunningServer server(Endless(model_), options);
  std::vector<std::future<std::string>> answers;
  for (const bool stream : {false, true})
    answers.push_back(std::async(std::launch::async, [&, stream] {
      return Ask(server, "/v1/completions", {{"prompt", "x"}, {"max_tokens", kForEver}, {"stream", stream}})
          ->body;
    }));
  WaitUntilRunning(server, 2);
  const auto told = std::chrono::steady_clock::now();
  EXPECT_EQ(server.Stop(), 2);
  EXPECT_LT(std::chrono::steady_clock::now() - told, std::chrono::seconds(3));
  const std::string whole = answers[0].get(), streamed = answers[1].get();
  EXPECT_EQ(Json::parse(whole)["error"]["code"], "server_stopping");
  EXPECT_THAT(streamed, HasSubstr("server_stopping"));
  EXPECT_THAT(streamed, ::testing::EndsWith("data: [DONE]\n\n"));
}

TEST_F(ServeTest, AnswersManyClientsAsItAnswersEachAlone) {
  ServerOptions options;
  options.scheduler.batch = {.max_sequences = 8, .prompt_tokens_per_step = 16};
  const RunningServer server(Endless(model_), options);
  const auto body = [](int i) {
    return Json{
        {"prompt", std::string(static_cast<std::size_t>(1 + i * 13 % 90), static_cast<char>('a' + i % 26))},
        {"max_tokens", 5 + i % 30},
        {"temperature", i % 2},
        {"seed", i}};
  };
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 32; ++i)
    answers.push_back(std::async(std::launch::async, [&, i] { return Text(Complete(server, body(i))); }));
  std::set<std::string> different;
  for (int i = 0; i < 32; ++i) {
    const std::string together = answers[static_cast<std::size_t>(i)].get();
    EXPECT_EQ(together, Text(Complete(server, body(i)))) << i;
    different.insert(together);
  }
  EXPECT_GT(different.size(), 20u);
}

TEST_F(ServeTest, ShowsAPageThatLoadsNothingFromElsewhere) {
  const RunningServer server(model_.Served());
  const httplib::Result page = server.Client().Get("/");
  EXPECT_EQ(page->status, 200);
  EXPECT_THAT(page->get_header_value("Content-Security-Policy"), HasSubstr("default-src 'self'"));
  EXPECT_THAT(page->body, Not(HasSubstr("__NONCE__")));
  EXPECT_THAT(page->body, Not(HasSubstr("https://")));
  EXPECT_THAT(page->body, HasSubstr("/v1/chat/completions"));
}

TEST_F(ServeTest, CountsItsRequests) {
  const RunningServer server(model_.Served());
  Complete(server, {{"prompt", "abc"}, {"max_tokens", 4}});
  server.Client().Get("/no/such/" + std::string(50, 'x'));
  // A request is counted once its answer is out, and its sequence ended behind that, which its client may be
  // told of first.
  httplib::Result metrics = server.Client().Get("/metrics");
  const auto is_told = [&](const char* line) { return metrics->body.find(line) != std::string::npos; };
  const auto is_counted = [&] {
    return is_told("\"404\"} 1") && is_told("\"200\"} 1") && is_told("\nforge_sequences_running 0\n");
  };
  for (int look = 0; look < 200 && !is_counted(); ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    metrics = server.Client().Get("/metrics");
  }
  EXPECT_THAT(metrics->get_header_value("Content-Type"), HasSubstr("version=0.0.4"));
  for (const char* line :
       {"forge_requests_total{path=\"/v1/completions\",status=\"200\"} 1\n",
        "forge_requests_total{path=\"other\",status=\"404\"} 1\n", "\nforge_prompt_tokens_total 3\n",
        "\nforge_sequences_running 0\n", "\nforge_time_to_first_token_seconds_count 1\n",
        "\nforge_answer_seconds_count 1\n"})
    EXPECT_THAT(metrics->body, HasSubstr(line));
}

}  // namespace
}  // namespace forge::serve
