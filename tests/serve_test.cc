// SPDX-License-Identifier: Apache-2.0
// forge serve as a user starts and ends it.
#include <gmock/gmock.h>
#include <httplib.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <thread>

#include "cli_fixture.h"

namespace forge {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::Program;

class ServeProgram : public Cli {
 protected:
  /// Starts it with --json on a free port and waits until it listens.
  void Start(std::vector<std::string> more) {
    std::vector<std::string> arguments{"serve", MakeModel("model"), "--port", "0", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    program_.emplace(arguments, folder_);
    io::Json started;
    while (kill(program_->pid(), 0) == 0 && io::JsonProblem(program_->out(), {}, started))
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(started.is_object());
    port_ = started["port"];
    EXPECT_EQ(started["url"], "http://localhost:" + std::to_string(port_));
    EXPECT_GT(started["weight_bytes"], 0);
  }
  httplib::Client Client() const {
    httplib::Client client("127.0.0.1", port_);
    client.set_read_timeout(60, 0);
    return client;
  }
  /// A stream that does not end by itself (greedy, this model never writes its end token); the last of its
  /// text.
  std::future<std::string> EndlessStream() {
    auto text = std::async(std::launch::async, [this] {
      const std::string body = R"({"prompt": "x", "max_tokens": 90000, "temperature": 0, "stream": true})";
      const httplib::Result answer = Client().Post("/v1/completions", body, "application/json");
      return answer
                 ? answer->body.substr(answer->body.size() - std::min<std::size_t>(500, answer->body.size()))
                 : std::string();
    });
    WaitUntilHealth("running", 1);
    return text;
  }
  void WaitUntilHealth(const char* field, const io::Json& value) const {
    for (;;) {
      const httplib::Result answer = Client().Get("/health");
      ASSERT_TRUE(answer) << "it does not answer any more";
      if (io::Json::parse(answer->body)[field] == value) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  std::optional<Program> program_;
  int port_ = 0;
};

TEST_F(ServeProgram, AnswersAndEndsWith0WhenItIsToldTo) {
  for (const int signal : {SIGINT, SIGTERM}) {
    Start({"--model-name", "my model"});
    const httplib::Result answer = Client().Post(
        "/v1/completions", R"({"model": "my model", "prompt": "abc", "max_tokens": 3})", "application/json");
    EXPECT_EQ(answer->status, 200) << answer->body;
    kill(program_->pid(), signal);
    EXPECT_EQ(program_->Wait().code, 0);
  }
}

TEST_F(ServeProgram, CutsOpenAnswersAfterTheDrainTimeAndSaysSo) {
  Start({"--drain-seconds", "0.2", "--max-tokens", "90000"});
  std::future<std::string> stream = EndlessStream();
  kill(program_->pid(), SIGTERM);
  const Outcome outcome = program_->Wait();
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("1 answers were cut"));
  EXPECT_THAT(stream.get(), HasSubstr("server_stopping"));
}

TEST_F(ServeProgram, EndsAtOnceAtTheSecondCtrlC) {
  Start({"--drain-seconds", "60", "--max-tokens", "90000"});
  std::future<std::string> stream = EndlessStream();
  kill(program_->pid(), SIGINT);
  WaitUntilHealth("status", "stopping");
  kill(program_->pid(), SIGINT);
  EXPECT_EQ(program_->Wait().code, 130);
  stream.get();
}

TEST_F(ServeProgram, TakesItsKeyFromAFileOrTheEnvironment) {
  io::WriteFileAtomically(folder_ / "key.txt", "from-file\r\n");
  const auto status = [&](const std::string& key) {
    return Client().Get("/v1/models", {{"Authorization", "Bearer " + key}})->status;
  };
  Start({"--api-key-file", Path("key.txt")});
  EXPECT_EQ(status("from-file"), 200);
  EXPECT_EQ(status("other"), 401);
  kill(program_->pid(), SIGTERM);
  program_->Wait();
  setenv("FORGE_API_KEY", "from-environment", 1);
  Start({});
  unsetenv("FORGE_API_KEY");
  EXPECT_EQ(status("from-environment"), 200);
  EXPECT_EQ(status(""), 401);
  kill(program_->pid(), SIGTERM);
  program_->Wait();
}

TEST_F(ServeProgram, SaysWhatItCannotDo) {
  const std::string model = MakeModel("model");
  const auto refused = [&](std::vector<std::string> more, int code, const char* part) {
    more.insert(more.begin(), {"serve", model});
    const Outcome outcome = Run(more);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(part));
    EXPECT_THAT(outcome.err, HasSubstr("fix:"));
  };
  refused({"--prot", "80"}, 2, "--port");
  refused({"--port", "70000"}, 2, "65535");
  refused({"--host", "0.0.0.0"}, 2, "--api-key-file");
  refused({"--api-key", "a", "--api-key-file", "b"}, 2, "one key");
  refused({"--api-key", ""}, 2, "it is empty");
  refused({"--api-key-file", Path("none")}, 3, "none");
  EXPECT_EQ(Run({"serve"}).code, 2);
  EXPECT_EQ(Run({"serve", Path("none")}).code, 3);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  refused({"--port", std::to_string(ntohs(address.sin_port))}, 4, "in use");
  close(listener);
}

}  // namespace
}  // namespace forge
