// SPDX-License-Identifier: Apache-2.0
#include "io/http_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <stdexcept>

#include "io/testing_http_server.h"
#include "io/testing_tls_front.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::HttpServer;
using testing::ServedAnswer;
using testing::ServedRequest;

ServedAnswer RedirectTo(const std::string& location, int status = 302) {
  return {.status = status, .headers = {{"Location", location}}, .body = "moved"};
}

TEST(HttpClient, GivesStatusHeadersAndBody) {
  const HttpServer server([](const ServedRequest&) {
    return ServedAnswer{.headers = {{"X-Repo-Commit", "abc"}}, .body = "hello"};
  });
  HttpClient client({.user_agent = "forge-test"});
  const HttpResponse got = client.Send({.url = server.url() + "/a?b=c", .headers = {{"Range", "bytes=0-"}}});
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.failure, HttpFailure::kNone) << got.problem;
  EXPECT_EQ(got.body, "hello");
  EXPECT_EQ(got.Header("x-repo-commit"), "abc");
  EXPECT_EQ(got.Header("none"), std::nullopt);
  const ServedRequest asked = server.log().at(0);
  EXPECT_EQ(asked.method, "GET");
  EXPECT_EQ(asked.target, "/a?b=c");
  EXPECT_EQ(asked.headers.at("user-agent"), "forge-test");
  EXPECT_EQ(asked.headers.at("range"), "bytes=0-");
  EXPECT_EQ(asked.headers.at("accept-encoding"), "identity");
  EXPECT_FALSE(asked.headers.contains("authorization"));
}

TEST(HttpClient, AsksForTheHeadOnly) {
  const HttpServer server([](const ServedRequest&) { return ServedAnswer{.body = "hello"}; });
  const HttpResponse got = HttpClient({}).Send({.url = server.url(), .head = true});
  EXPECT_EQ(got.Header("content-length"), "5");
  EXPECT_EQ(got.body, "");
  EXPECT_EQ(server.log().at(0).method, "HEAD");
}

TEST(HttpClient, NeverSendsTheTokenToAnotherOrigin) {
  const HttpServer other([](const ServedRequest&) { return ServedAnswer{.body = "file"}; });
  const HttpServer server([&](const ServedRequest& request) {
    return request.target == "/first" ? RedirectTo("/second", 307) : RedirectTo(other.url() + "/file");
  });
  const HttpResponse got = HttpClient({}).Send(
      {.url = server.url() + "/first", .headers = {{"Range", "bytes=0-3"}}, .bearer_token = "t0"});
  EXPECT_EQ(got.body, "file");
  EXPECT_EQ(got.url, other.url() + "/file");
  for (const ServedRequest& request : server.log())
    EXPECT_EQ(request.headers.at("authorization"), "Bearer t0");
  EXPECT_EQ(server.log().at(1).target, "/second");
  ASSERT_EQ(other.log().size(), 1u);
  EXPECT_FALSE(other.log()[0].headers.contains("authorization"));
  EXPECT_EQ(other.log()[0].headers.at("range"), "bytes=0-3");
}

TEST(HttpClient, HandsARedirectBackWhenAsked) {
  const HttpServer server([](const ServedRequest&) { return RedirectTo("../new?x"); });
  const HttpResponse got =
      HttpClient({}).Send({.url = server.url() + "/a/b/old", .head = true, .redirects = Redirects::kNone});
  EXPECT_EQ(got.status, 302);
  EXPECT_EQ(got.url, server.url() + "/a/b/old");
  EXPECT_EQ(got.redirect_url, server.url() + "/a/new?x");
}

TEST(HttpClient, KnowsOrigins) {
  EXPECT_TRUE(HaveSameOrigin("https://Hub.co/a", "https://hub.co:443/b?c"));
  EXPECT_TRUE(HaveSameOrigin("http://hub.co", "HTTP://hub.co:80/"));
  for (const char* other : {"http://hub.co/a", "https://hub.co:444/a", "https://hub.co.evil/a",
                            "https://evil/hub.co", "https://hub.co@evil/", "ftp://hub.co/", "", "hub.co"})
    EXPECT_FALSE(HaveSameOrigin("https://hub.co/a", other)) << other;
}

TEST(HttpClient, RefusesRedirectsThatDoNotEndOrLeaveTheWeb) {
  const HttpServer server([](const ServedRequest& request) {
    return RedirectTo(request.target == "/file" ? "file:///etc/passwd" : request.target + "x");
  });
  const HttpResponse endless = HttpClient({}).Send({.url = server.url() + "/a"});
  EXPECT_EQ(endless.failure, HttpFailure::kRefused);
  EXPECT_THAT(endless.problem, HasSubstr("redirects"));
  const HttpResponse file = HttpClient({}).Send({.url = server.url() + "/file"});
  EXPECT_EQ(file.failure, HttpFailure::kRefused);
  EXPECT_THAT(file.problem, HasSubstr("file:///etc/passwd, which is no web address"));
  EXPECT_EQ(HttpClient({}).Send({.url = "file:///etc/passwd"}).failure, HttpFailure::kRefused);
  EXPECT_EQ(HttpClient({}).Send({.url = ""}).failure, HttpFailure::kRefused);
}

class Https : public ::testing::Test {
 protected:
  Https() : certificate_(fs::temp_directory_path() / fmt::format("forge-https-test-{}.pem", getpid())) {
    signal(SIGPIPE,
           SIG_IGN);  // as the program does (cli/terminal.cc): TLS says goodbye on closed connections
  }
  ~Https() override { fs::remove(certificate_); }
  HttpResponse Ask(const std::string& url, bool trusts = true) const {
    return HttpClient({.certificates = trusts ? certificate_ : fs::path()}).Send({.url = url});
  }
  const fs::path certificate_;
};

TEST_F(Https, TrustsTheGivenCertificateAndNoOther) {
  const HttpServer plain([](const ServedRequest&) { return ServedAnswer{.body = "secret"}; });
  const testing::TlsFront front(plain.port(), certificate_);
  EXPECT_EQ(Ask(front.url() + "/a").body, "secret");
  const HttpResponse refused = Ask(front.url() + "/a", false);
  EXPECT_EQ(refused.failure, HttpFailure::kUnreachable);
  EXPECT_THAT(refused.problem, HasSubstr("certificate"));
  EXPECT_EQ(plain.log().size(), 1u);
  fs::remove(certificate_);
  EXPECT_NE(Ask(front.url() + "/a").failure, HttpFailure::kNone);
}

TEST_F(Https, IsNeverLeftForHttp) {
  HttpServer* other = nullptr;
  HttpServer plain([&](const ServedRequest& request) {
    return request.target == "/down" ? RedirectTo(other->url() + "/b") : ServedAnswer{.body = "b"};
  });
  other = &plain;
  const testing::TlsFront front(plain.port(), certificate_);
  const HttpResponse refused = Ask(front.url() + "/down");
  EXPECT_EQ(refused.failure, HttpFailure::kRefused);
  EXPECT_THAT(refused.problem, HasSubstr("it redirects from https to " + plain.url() + "/b"));
  EXPECT_EQ(plain.log().size(), 1u);
}

TEST(HttpClient, TellsACutAnswerFromAWholeOne) {
  const HttpServer server(
      [](const ServedRequest&) { return ServedAnswer{.body = "0123456789", .cut_after = 4}; });
  std::string seen;
  const HttpResponse got =
      HttpClient({}).Send({.url = server.url(), .on_body = [&](std::span<const std::byte> bytes) {
                             seen.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                             return true;
                           }});
  EXPECT_EQ(got.failure, HttpFailure::kCut) << got.problem;
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(seen, "0123");
  EXPECT_EQ(HttpClient({}).Send({.url = "http://127.0.0.1:1/"}).failure, HttpFailure::kUnreachable);
}

TEST(HttpClient, KeepsNoMoreThanItMay) {
  const HttpServer server([](const ServedRequest& request) {
    return ServedAnswer{.status = request.target == "/error" ? 500 : 200, .body = std::string(200'000, 'x')};
  });
  HttpClient client({});
  EXPECT_EQ(client.Send({.url = server.url(), .max_body_bytes = 199'999}).failure, HttpFailure::kTooLong);
  EXPECT_EQ(client.Send({.url = server.url(), .max_body_bytes = 200'000}).failure, HttpFailure::kNone);
  // The text of an error is kept beside a download, but only its beginning.
  const HttpResponse error =
      client.Send({.url = server.url() + "/error", .on_body = [](std::span<const std::byte>) -> bool {
                     ADD_FAILURE() << "the text of an error is not the file";
                     return true;
                   }});
  EXPECT_EQ(error.status, 500);
  EXPECT_EQ(error.failure, HttpFailure::kNone);
  EXPECT_LE(error.body.size(), 65536u);
  const HttpServer endless([](const ServedRequest&) {
    ServedAnswer answer;
    for (int i = 0; i < 300; ++i)
      answer.headers.emplace_back("X-" + std::to_string(i), std::string(1000, 'x'));
    return answer;
  });
  EXPECT_EQ(client.Send({.url = endless.url()}).failure, HttpFailure::kTooLong);
}

TEST(HttpClient, LetsTheCallerDeclineBeforeTheBody) {
  const HttpServer server([](const ServedRequest&) { return ServedAnswer{.status = 200, .body = "wrong"}; });
  int heads = 0;
  const HttpResponse got = HttpClient({}).Send({.url = server.url(),
                                                .on_head =
                                                    [&](const HttpResponse& head) {
                                                      ++heads;
                                                      return head.status == 206;
                                                    },
                                                .on_body = [](std::span<const std::byte>) -> bool {
                                                  ADD_FAILURE() << "it was declined";
                                                  return true;
                                                }});
  EXPECT_EQ(got.failure, HttpFailure::kDeclined);
  EXPECT_EQ(heads, 1);
}

TEST(HttpClient, LetsTheCallersErrorsOut) {
  const HttpServer server([](const ServedRequest&) { return ServedAnswer{.body = "hello"}; });
  HttpClient client({});
  const auto full = [](std::span<const std::byte>) -> bool { throw std::runtime_error("the disk is full"); };
  EXPECT_THROW(static_cast<void>(client.Send({.url = server.url(), .on_body = full})), std::runtime_error);
  const auto wrong = [](const HttpResponse&) -> bool { throw std::runtime_error("another length"); };
  EXPECT_THROW(static_cast<void>(client.Send({.url = server.url(), .on_head = wrong})), std::runtime_error);
  EXPECT_EQ(client.Send({.url = server.url()}).body, "hello");
}

TEST(HttpClient, ReadsRetryAfter) {
  const HttpServer server([](const ServedRequest&) {
    return ServedAnswer{.status = 429, .headers = {{"Retry-After", "7"}}, .body = "slow down"};
  });
  const HttpResponse got = HttpClient({}).Send({.url = server.url()});
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(got.retry_after_seconds, 7.0);
}

TEST(HttpClient, StopsWhenAsked) {
  StopToken stop;
  const HttpServer server([&](const ServedRequest&) {
    stop.RequestStop();
    return ServedAnswer{.body = "0123456789", .declared_length = 1000};
  });
  EXPECT_EQ(HttpClient({.stop = &stop}).Send({.url = server.url()}).failure, HttpFailure::kStopped);
}

}  // namespace
}  // namespace forge::io
