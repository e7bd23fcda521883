// SPDX-License-Identifier: Apache-2.0
#include "dashboard/server.h"

#include <gmock/gmock.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <regex>
#include <thread>

#include "base/error.h"
#include "dashboard/event_stream.h"
#include "dashboard/page.h"
#include "http/page.h"
#include "http/raw_connection.h"
#include "track/test_folder.h"

namespace forge::dashboard {
namespace {

using http::testing::RawConnection;
using testing::HasSubstr;
using testing::Not;
using track::State;
using track::Store;
using track::TestFolder;

/// A server on a free port, in a thread of its own, on a store with one run.
class DashboardServer : public testing::Test {
 protected:
  DashboardServer()
      : store_(Store::Open(folder_.path(), Store::Mode::kWrite)),
        server_({.folder = folder_.path(), .port = 0}),
        thread_([this] { server_.Run(stop_); }),
        client_("127.0.0.1", server_.port()) {
    store_.CreateRun({.id = "r1", .seed = 5});
    store_.BeginStage("r1", "evolve");
    store_.RecordCandidate("r1", {.id = 3, .kind = "seed", .scores = {{"fitness", 0.5}}});
    store_.Metric("r1", "evolve", "loss", 1, 2.5);
    store_.AddEvent("r1", "log", "evolve", {{"line", "<b>hello</b>"}});
    store_.Flush();
    client_.set_read_timeout(5, 0);
  }
  ~DashboardServer() override { Stop(); }

  void Stop() {
    stop_.RequestStop();
    if (thread_.joinable()) thread_.join();
  }
  std::string Own() const { return "localhost:" + std::to_string(server_.port()); }

  TestFolder folder_;
  Store store_;
  Server server_;
  StopToken stop_;
  std::thread thread_;
  httplib::Client client_;
};

TEST_F(DashboardServer, ServesThePageWithAPolicyThatAllowsOnlyItsOwnCode) {
  const auto answer = client_.Get("/");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  const std::string policy = answer->get_header_value("Content-Security-Policy");
  std::smatch nonce;
  ASSERT_TRUE(std::regex_search(policy, nonce, std::regex("script-src 'nonce-([0-9a-f]{32})'")));
  EXPECT_THAT(answer->body, HasSubstr("<script nonce=\"" + nonce[1].str() + "\""));
  EXPECT_THAT(policy, HasSubstr("default-src 'self'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_EQ(answer->get_header_value("X-Content-Type-Options"), "nosniff");
  EXPECT_NE(client_.Get("/")->get_header_value("Content-Security-Policy"), policy);  // a nonce is used once
}

TEST_F(DashboardServer, RefusesForeignHostsAndOrigins) {
  const auto status = [&](const httplib::Headers& headers) {
    return client_.Get("/api/runs", headers)->status;
  };
  EXPECT_EQ(status({{"Host", Own()}}), 200);
  EXPECT_EQ(status({{"Host", "evil.example"}}), 403);
  EXPECT_EQ(status({{"Host", "localhost.evil.example:" + std::to_string(server_.port())}}), 403);
  EXPECT_EQ(status({{"Host", "localhost:1"}}), 403);
  EXPECT_EQ(status({{"Host", Own()}, {"Origin", "http://" + Own()}}), 200);
  EXPECT_EQ(status({{"Host", Own()}, {"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status({{"Host", Own()}, {"Origin", "null"}}), 403);
  EXPECT_EQ(status({{"Host", Own()}, {"Origin", "https://" + Own()}}), 403);
}

TEST_F(DashboardServer, OnlyReads) {
  EXPECT_EQ(client_.Post("/api/runs", "{}", "application/json")->status, 405);
  EXPECT_EQ(client_.Delete("/api/run/r1")->status, 405);
}

TEST_F(DashboardServer, GivesRunsAndARunAsJson) {
  const Json runs = Json::parse(client_.Get("/api/runs")->body);
  EXPECT_EQ(runs["runs"][0]["id"], "r1");
  EXPECT_EQ(runs["runs"][0]["stages"][0]["name"], "evolve");
  const auto answer = client_.Get("/api/run/r1");
  EXPECT_THAT(answer->get_header_value("Content-Type"), HasSubstr("application/json"));
  const Json run = Json::parse(answer->body);
  EXPECT_EQ(run["run"]["seed"], 5);
  EXPECT_EQ(run["candidates"][0]["fitness"], 0.5);
  EXPECT_EQ(run["series"], Json::parse(R"([{"stage": "evolve", "name": "loss", "points": [[1, 2.5]]}])"));
  EXPECT_EQ(run["log"][0]["line"], "<b>hello</b>");
}

TEST_F(DashboardServer, AnswersAnUnknownRunWith404AndAReason) {
  const auto answer = client_.Get("/api/run/nope");
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(Json::parse(answer->body)["error"]["what"], "no run nope");
  EXPECT_EQ(client_.Get("/api/run/..%2Fforge.db")->status, 404);
}

TEST_F(DashboardServer, StreamsWhatIsWrittenAfterTheCursor) {
  std::string received;
  bool written = false;
  client_.Get("/api/events?run=r1&after=" + ToText(LastCursor(store_)),
              [&](const char* data, std::size_t size) {
                received.append(data, size);
                if (!written) {
                  written = true;
                  store_.Metric("r1", "evolve", "loss", 2, 1.25);
                  store_.Flush();
                }
                return received.find("1.25") == std::string::npos;
              });
  EXPECT_THAT(received, HasSubstr("retry: 2000"));
  EXPECT_THAT(received, HasSubstr(R"("metrics":[["evolve","loss",2,1.25]])"));
  EXPECT_THAT(received, Not(HasSubstr("hello")));  // was before the cursor
}

TEST_F(DashboardServer, GoesOnFromLastEventId) {
  const Cursor seen = LastCursor(store_);
  store_.AddEvent("r1", "log", "evolve", {{"line", "missed"}});
  std::string received;
  const httplib::Headers headers{{"Last-Event-ID", ToText(seen)}};
  client_.Get("/api/events?run=r1&after=0.0", headers, [&](const char* data, std::size_t size) {
    received.append(data, size);
    return received.find("missed") == std::string::npos;
  });
  EXPECT_THAT(received, HasSubstr("missed"));
  EXPECT_THAT(received, Not(HasSubstr("hello")));
}

/// Pages that are open: each reads one event stream, in a thread of its own.
class Readers {
 public:
  Readers(int port, int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this, port] { Read(port); });
  }
  ~Readers() {
    for (std::thread& thread : threads_) thread.join();
  }
  /// Waits until each has got something, or has ended; the number of those that read.
  int WaitUntilReading() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reading_ + ended_without_ == static_cast<int>(threads_.size()); });
    return reading_;
  }

 private:
  void Read(int port) {
    bool got_something = false;
    const auto count = [&](int& number) {
      const std::lock_guard lock(mutex_);
      ++number;
      changed_.notify_all();
    };
    httplib::Client("127.0.0.1", port).Get("/api/events?run=r1", [&](const char*, std::size_t) {
      if (!got_something) count(reading_);
      got_something = true;
      return true;
    });
    if (!got_something) count(ended_without_);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int reading_ = 0, ended_without_ = 0;
  std::vector<std::thread> threads_;
};

TEST_F(DashboardServer, StopsWithinASecondThoughStreamsAreOpen) {
  Readers readers(server_.port(), 5);
  ASSERT_EQ(readers.WaitUntilReading(), 5);
  const auto start = std::chrono::steady_clock::now();
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST_F(DashboardServer, RefusesThe65thStreamAndStillAnswers) {
  Readers readers(server_.port(), Server::kMaxStreams);
  EXPECT_EQ(readers.WaitUntilReading(), Server::kMaxStreams);
  EXPECT_EQ(client_.Get("/api/events")->status, 503);
  EXPECT_EQ(client_.Get("/api/runs")->status, 200);
  Stop();
}

TEST(Server, KeepsABurstOfConnectionsWaitingAndAnswersThemAll) {
  const TestFolder folder;
  Server server({.folder = folder.path(), .port = 0});
  std::vector<std::unique_ptr<RawConnection>> burst;
  for (int i = 0; i < 200; ++i) {  // nothing accepts them yet; a queue of five would drop the seventh
    burst.push_back(std::make_unique<RawConnection>(server.port()));
    ASSERT_TRUE(burst.back()->Connected()) << i;
    burst.back()->Send("GET /api/runs HTTP/1.1\r\nHost: localhost:" + std::to_string(server.port()) +
                       "\r\n\r\n");
  }
  StopToken stop;
  std::thread thread([&] { server.Run(stop); });
  for (const auto& connection : burst) EXPECT_THAT(connection->ReadToEnd(), HasSubstr("200 OK"));
  stop.RequestStop();
  thread.join();
}

TEST_F(DashboardServer, StopsWithinASecondThoughConnectionsAreSilent) {
  const RawConnection silent(server_.port());
  const RawConnection halfway(server_.port());
  ASSERT_TRUE(silent.Connected() && halfway.Connected());
  halfway.Send("GET / HTTP/1.1\r\nHost: local");
  ASSERT_EQ(client_.Get("/api/runs")->status, 200);  // connections are accepted in order: theirs are, too
  const auto start = std::chrono::steady_clock::now();
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(silent.ReadToEnd(), "");
}

TEST(Server, EndsARequestThatArrivesTooSlowly) {
  const TestFolder folder;
  Server server({.folder = folder.path(), .port = 0, .request_timeout = std::chrono::milliseconds(100)});
  StopToken stop;
  std::thread thread([&] { server.Run(stop); });
  const RawConnection slow(server.port());
  ASSERT_TRUE(slow.Connected());
  slow.Send("GET / HTTP/1.1\r\nX-Slow: ");
  bool ended = false;
  for (int bytes = 0; bytes < 500 && !ended; ++bytes) {  // 10 s, were it not ended
    slow.Send("a");
    ended = slow.Ended(20);
  }
  EXPECT_TRUE(ended);
  stop.RequestStop();
  thread.join();
}

TEST(Server, SaysSoWhenItCannotAcceptConnectionsAnyMore) {
  const TestFolder folder;
  Server server({.folder = folder.path(), .port = 0});
  const StopToken stop;
  // What a system does that runs out of memory for sockets: accept fails.
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
        address.sin_family == AF_INET && ntohs(address.sin_port) == server.port())
      ::shutdown(descriptor, SHUT_RDWR);
  }
  EXPECT_THROW(server.Run(stop), Error);
}

TEST_F(DashboardServer, RefusesAPortThatIsTaken) {
  EXPECT_THROW(Server({.folder = folder_.path(), .port = server_.port()}), Error);
}

TEST(Server, RefusesAHostThatOthersCanReach) {
  for (const char* host : {"0.0.0.0", "192.168.0.1", "example.org", "::"}) {
    try {
      Server({.host = host, .port = 0});
      ADD_FAILURE() << host;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  }
}

TEST(Server, ServesAFolderThatHasNoStoreYet) {
  const TestFolder folder;
  Server server({.folder = folder.path(), .port = 0});
  StopToken stop;
  std::thread thread([&] { server.Run(stop); });
  httplib::Client client("127.0.0.1", server.port());
  EXPECT_EQ(Json::parse(client.Get("/api/runs")->body)["runs"], Json::array());
  EXPECT_EQ(client.Get("/api/run/r1")->status, 404);
  stop.RequestStop();
  thread.join();
}

TEST(Cursor, StartsOverAtAnythingThatIsNoCursor) {
  EXPECT_EQ(ParseCursor("12.34").event, 12);
  EXPECT_EQ(ParseCursor("12.34").metric, 34);
  for (const char* text : {"", "12", "12.", ".3", "-1.2", "1.2x", "99999999999999999999.1"})
    EXPECT_EQ(ToText(ParseCursor(text)), "0.0") << text;
}

TEST(EventStream, SendsAHeartbeatAfter15QuietSeconds) {
  const TestFolder folder;
  double now = 0;
  EventStream stream(folder.path(), "", {}, [&] { return now; });
  EXPECT_EQ(stream.Poll(), "retry: 2000\n\n");
  now = 14;
  EXPECT_EQ(stream.Poll(), "");
  now = 15;
  EXPECT_EQ(stream.Poll(), ": still here\n\n");
}

TEST(EventStream, WaitsForAStoreThatIsBeingCreated) {
  const TestFolder folder;
  EventStream stream(folder.path(), "", {}, track::SystemClock());
  std::ofstream(folder.path() / Store::kFileName).close();
  EXPECT_EQ(stream.Poll(), "retry: 2000\n\n");
  Store store = Store::Open(folder.path(), Store::Mode::kWrite);
  store.CreateRun({.id = "r1"});
  EXPECT_THAT(stream.Poll(), HasSubstr(R"("id":"r1")"));
}

TEST(EventStream, SaysThatARunChangedWhenAStageEnds) {
  const TestFolder folder;
  Store store = Store::Open(folder.path(), Store::Mode::kWrite);
  store.CreateRun({.id = "r1"});
  EventStream stream(folder.path(), "r1", LastCursor(store), track::SystemClock());
  EXPECT_THAT(stream.Poll(), HasSubstr(R"("changed":false)"));
  store.BeginStage("r1", "evolve");
  store.EndStage("r1", "evolve", State::kDone);
  EXPECT_THAT(stream.Poll(), HasSubstr(R"("changed":true)"));
}

TEST(Page, NamesNoOtherAddress) {
  const std::string page(PageSource());
  EXPECT_FALSE(std::regex_search(page, std::regex("(src|href)=\"?(https?:)?//|@import|url\\(")));
  EXPECT_THAT(http::WithNonce(PageSource(), "abc"), Not(HasSubstr("__NONCE__")));
}

}  // namespace
}  // namespace forge::dashboard
