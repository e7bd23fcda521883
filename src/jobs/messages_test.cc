// SPDX-License-Identifier: Apache-2.0
#include "jobs/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::jobs {
namespace {

using ::testing::HasSubstr;

std::string WhyNot(const std::string& text) {
  try {
    ParseFromWorker(text, "result-3.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.fields().what, HasSubstr("result-3.json"));
    EXPECT_FALSE(error.fields().fix.empty());
    return error.fields().why;
  }
  return "nothing is wrong";
}

TEST(Messages, ComeBackAsTheyWereSent) {
  const Hello hello{
      .identity = {.version = "1.2", .inputs = "abc"}, .host = "h", .pid = 7, .process = "p", .threads = 4};
  const auto read_hello = std::get<Hello>(ParseFromWorker(Encode(FromWorker{hello}), "x"));
  EXPECT_EQ(read_hello.identity, hello.identity);
  EXPECT_EQ(read_hello.host, "h");
  EXPECT_EQ(read_hello.pid, 7);
  EXPECT_EQ(read_hello.process, "p");
  EXPECT_EQ(read_hello.threads, 4);
  const Result result{.key = "genome 1 \"é\"", .value = {{"score", 0.1}, {"items", {1, 0}}}, .seconds = 1e-3};
  const auto read_result = std::get<Result>(ParseFromWorker(Encode(FromWorker{result}), "x"));
  EXPECT_EQ(read_result.key, result.key);
  EXPECT_EQ(read_result.value, result.value);
  EXPECT_EQ(read_result.seconds, 1e-3);
  const Failure failure{"a", {.kind = ErrorKind::kInput, .what = "w", .why = "y", .fix = "f"}};
  const auto read_failure = std::get<Failure>(ParseFromWorker(Encode(FromWorker{failure}), "x"));
  EXPECT_EQ(read_failure.error.kind, ErrorKind::kInput);
  EXPECT_EQ(read_failure.error.fix, "f");
  const auto goodbye = std::get<Goodbye>(
      ParseFromWorker(Encode(FromWorker{Goodbye{{.kind = ErrorKind::kEnvironment, .what = "disk"}}}), "x"));
  EXPECT_EQ(goodbye.reason.kind, ErrorKind::kEnvironment);
  EXPECT_EQ(goodbye.reason.what, "disk");
  const auto job = std::get<Job>(ParseToWorker(Encode(ToWorker{Job{"a", {{"n", 1}}}}), "x"));
  EXPECT_EQ(job.key, "a");
  EXPECT_EQ(job.what, (io::Json{{"n", 1}}));
  EXPECT_EQ(std::get<Stop>(ParseToWorker(Encode(ToWorker{Stop{"done"}}), "x")).reason, "done");
  EXPECT_EQ(std::get<Refusal>(ParseToWorker(Encode(ToWorker{Refusal{{.why = "old"}}}), "x")).reason.why,
            "old");
  EXPECT_TRUE(std::holds_alternative<Presence>(ParseToWorker(Encode(ToWorker{Presence{}}), "x")));
}

TEST(Messages, SayWhatIsWrongWithThem) {
  EXPECT_THAT(WhyNot("{"), HasSubstr("parse error"));
  EXPECT_THAT(WhyNot("[]"), HasSubstr("no object"));
  EXPECT_THAT(WhyNot("{}"), HasSubstr("no \"kind\""));
  EXPECT_THAT(WhyNot(R"({"kind":"job"})"), HasSubstr("a worker says no \"job\""));
  EXPECT_THAT(WhyNot(R"({"kind":"result","key":7})"), HasSubstr("\"key\" is no text"));
  EXPECT_THAT(WhyNot(R"({"kind":"result","key":""})"), HasSubstr("\"key\" is empty"));
  EXPECT_THAT(WhyNot(R"({"kind":"result","key":")" + std::string(1001, 'k') + "\"}"),
              HasSubstr("1001 bytes"));
  EXPECT_THAT(WhyNot(R"({"kind":"result","key":"a","value":[]})"), HasSubstr("\"value\" is no object"));
  EXPECT_THAT(WhyNot(R"({"kind":"result","key":"a","value":{},"seconds":-1})"),
              HasSubstr("\"seconds\" is no time"));
  EXPECT_THAT(WhyNot(R"({"kind":"goodbye","error":"usage"})"), HasSubstr("neither input nor environment"));
  EXPECT_THAT(WhyNot(R"({"kind":"hello","version":"1","inputs":"","host":"","pid":-1})"),
              HasSubstr("\"pid\""));
  EXPECT_THAT(WhyNot(std::string(1000, '[')), HasSubstr("deep"));
}

TEST(Messages, OfANewerForgeStillTellItsVersion) {
  const FromWorker message = ParseFromWorker(
      R"({"kind":"hello","version":"9","inputs":"","host":"","pid":1,"process":"","threads":1,"more":[1]})",
      "x");
  EXPECT_EQ(std::get<Hello>(message).identity.version, "9");
}

}  // namespace
}  // namespace forge::jobs
