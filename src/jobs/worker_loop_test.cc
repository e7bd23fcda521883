// SPDX-License-Identifier: Apache-2.0
#include "jobs/worker_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <mutex>

#include "base/error.h"

namespace forge::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Gives the worker what the test has put in, and time passes when there is nothing.
class ScriptedPort : public WorkerPort {
 public:
  void Send(const FromWorker& message) override {
    const std::lock_guard lock(mutex_);
    if (std::holds_alternative<Hello>(message)) sent_.push_back("hello");
    if (const auto* result = std::get_if<Result>(&message)) sent_.push_back("result " + result->key);
    if (const auto* failure = std::get_if<Failure>(&message))
      sent_.push_back("failure " + failure->key + " " + failure->error.what);
    if (const auto* goodbye = std::get_if<Goodbye>(&message))
      sent_.push_back("goodbye " + goodbye->reason.what);
    heartbeats_ += std::holds_alternative<Heartbeat>(message);
  }
  std::optional<ToWorker> Receive(double seconds) override {
    if (messages.empty()) {
      now += seconds;
      return std::nullopt;
    }
    ToWorker message = std::move(messages.front());
    messages.pop_front();
    return message;
  }
  std::vector<std::string> sent() {
    const std::lock_guard lock(mutex_);
    return sent_;
  }
  int heartbeats() {
    const std::lock_guard lock(mutex_);
    return heartbeats_;
  }

  std::deque<ToWorker> messages;
  double now = 0;

 private:
  std::mutex mutex_;
  std::vector<std::string> sent_;
  int heartbeats_ = 0;
};

class WorkerLoop : public ::testing::Test {
 protected:
  WorkerOptions Options() {
    return {
        .identity = {.version = "1", .inputs = "abc"}, .stop = &stop_, .clock = [this] { return port_.now; }};
  }
  Error::Fields ErrorOf(const Evaluate& evaluate) {
    try {
      RunWorker(port_, evaluate, Options());
    } catch (const Error& error) {
      return error.fields();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  static io::Json Nothing(const Job&) { return io::Json::object(); }
  ScriptedPort port_;
  StopToken stop_;
};

TEST_F(WorkerLoop, DoesJobsUntilItIsToldToStop) {
  port_.messages = {Job{"a", {}}, Presence{}, Job{"b", {}}, Stop{"all is done"}, Job{"c", {}}};
  const WorkerOutcome outcome = RunWorker(port_, Nothing, Options());
  EXPECT_EQ(outcome.jobs, 2);
  EXPECT_EQ(outcome.reason, "all is done");
  EXPECT_THAT(port_.sent(), ElementsAre("hello", "result a", "result b", "goodbye "));
}

TEST_F(WorkerLoop, BeatsWhileAJobTakesItsTime) {
  WorkerOptions options = Options();
  options.heartbeat_seconds = 0.001;
  port_.messages = {Job{"a", {}}, Stop{}};
  RunWorker(
      port_,
      [this](const Job&) {
        while (port_.heartbeats() < 3) std::this_thread::yield();
        return io::Json::object();
      },
      options);
  EXPECT_THAT(port_.sent(), ElementsAre("hello", "result a", "goodbye "));
}

TEST_F(WorkerLoop, ReportsAJobThatCanBeDoneNowhereAndGoesOn) {
  port_.messages = {Job{"a", {}}, Job{"b", {}}, Stop{}};
  RunWorker(
      port_,
      [](const Job& job) -> io::Json {
        if (job.key == "a") throw Error({.kind = ErrorKind::kInput, .what = "bad"});
        return io::Json::object();
      },
      Options());
  EXPECT_THAT(port_.sent(), ElementsAre("hello", "failure a bad", "result b", "goodbye "));
}

TEST_F(WorkerLoop, LeavesWithItsReasonWhenTheMachineIsTheTrouble) {
  port_.messages = {Job{"a", {}}, Stop{}};
  const Error::Fields error = ErrorOf(
      [](const Job&) -> io::Json { throw Error({.kind = ErrorKind::kEnvironment, .what = "disk full"}); });
  EXPECT_EQ(error.what, "disk full");
  EXPECT_THAT(port_.sent(), ElementsAre("hello", "goodbye disk full"));
}

TEST_F(WorkerLoop, EndsWithTheCoordinatorsReasonWhenItIsTurnedAway) {
  port_.messages = {
      Refusal{{.kind = ErrorKind::kInput, .what = "no", .why = "another version", .fix = "update"}}};
  const Error::Fields error = ErrorOf(Nothing);
  EXPECT_EQ(error.kind, ErrorKind::kInput);
  EXPECT_EQ(error.why, "another version");
  EXPECT_EQ(error.fix, "update");
}

TEST_F(WorkerLoop, WaitsForACoordinatorAsLongAsItsPatience) {
  port_.messages = {Presence{}};
  const Error::Fields error = ErrorOf(Nothing);
  EXPECT_EQ(error.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(error.why, HasSubstr("no coordinator for 600 s"));
  EXPECT_GT(port_.now, 600);
  EXPECT_LT(port_.now, 602);
}

TEST_F(WorkerLoop, StopsOnRequestAfterTheJob) {
  port_.messages = {Job{"a", {}}, Job{"b", {}}};
  const Error::Fields error = ErrorOf([this](const Job&) {
    stop_.RequestStop();
    return io::Json::object();
  });
  EXPECT_EQ(error.kind, ErrorKind::kInterrupted);
  EXPECT_THAT(port_.sent(), ElementsAre("hello", "result a", "goodbye "));
}

}  // namespace
}  // namespace forge::jobs
