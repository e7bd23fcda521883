// SPDX-License-Identifier: Apache-2.0
#include "http/http_server.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "http/raw_connection.h"

namespace forge::http {
namespace {

using ::testing::HasSubstr;
using testing::RawConnection;

/// A server in a thread of its own.
class HttpServerTest : public ::testing::Test {
 protected:
  void Start(const HttpLimits& limits, const std::function<void(HttpServer&)>& set_up) {
    server_ = std::make_unique<HttpServer>(limits);
    set_up(*server_);
    port_ = server_->Bind("127.0.0.1", 0);
    ASSERT_GT(port_, 0);
    thread_ = std::thread([this] { served_ = server_->ServeUntil([this] { return stop_.load(); }); });
  }
  ~HttpServerTest() override {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    EXPECT_TRUE(served_);
  }

  std::unique_ptr<HttpServer> server_;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  bool served_ = true;
  std::thread thread_;
};

TEST_F(HttpServerTest, DoesNotLoseTheAnswerToARequestWhoseBodyItDoesNotRead) {
  Start({.max_request_bytes = 1 << 20}, [](HttpServer& server) {
    server.set_pre_routing_handler([](const auto&, auto& response) {
      response.status = 401;
      response.set_content("no", "text/plain");
      return httplib::Server::HandlerResponse::Handled;
    });
  });
  // More than the buffers of both sockets hold: the client still sends when it is answered.
  const std::string body(16 << 20, 'x');
  for (int i = 0; i < 3; ++i) {
    const httplib::Result answer = httplib::Client("127.0.0.1", port_).Post("/", body, "text/plain");
    ASSERT_TRUE(answer) << httplib::to_string(answer.error());
    EXPECT_EQ(answer->status, 401);
  }
}

TEST_F(HttpServerTest, ReadsNoMoreThanItMay) {
  Start({.max_request_bytes = 20'000}, [](HttpServer& server) {
    server.Get("/", [](const auto&, auto& response) { response.set_content("read", "text/plain"); });
  });
  const RawConnection fits(port_), too_long(port_);
  ASSERT_TRUE(fits.Connected() && too_long.Connected());
  std::string headers;
  for (int i = 0; i < 15; ++i) headers += "X-Some: " + std::string(1000, 'x') + "\r\n";
  fits.Send("GET / HTTP/1.1\r\n" + headers + "\r\n");
  EXPECT_THAT(fits.ReadToEnd(), HasSubstr("200 OK"));
  too_long.Send("GET / HTTP/1.1\r\n" + headers + headers + "\r\n");
  EXPECT_THAT(too_long.ReadToEnd(), HasSubstr("400 Bad Request"));
}

TEST_F(HttpServerTest, SeesInAHandlerThatTheClientWentAway) {
  std::atomic<bool> was_there = false, left = false;
  std::atomic<int> handled = 0;
  Start({}, [&](HttpServer& server) {
    server.Get("/", [&](const auto&, auto&) {
      was_there = HttpServer::ClientIsThere();
      handled = 1;
      while (!left && server.Sleep(std::chrono::milliseconds(1))) left = !HttpServer::ClientIsThere();
      handled = 2;
    });
  });
  {
    const RawConnection connection(port_);
    ASSERT_TRUE(connection.Connected());
    connection.Send("GET / HTTP/1.1\r\n\r\nGET / HT");  // bytes of a next request must not hide the close
    while (handled == 0) std::this_thread::yield();
  }
  while (handled == 1) std::this_thread::yield();
  EXPECT_TRUE(was_there);
  EXPECT_TRUE(left);
}

}  // namespace
}  // namespace forge::http
