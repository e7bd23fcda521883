// SPDX-License-Identifier: Apache-2.0
#include "jobs/rank_ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/error.h"
#include "jobs/worker_loop.h"

namespace forge::jobs {
namespace {

using ::testing::ElementsAre;

/// The letter boxes of all ranks, in one process.
using Boxes = std::vector<std::deque<RankMessages::Message>>;
class FakeRank : public RankMessages {
 public:
  FakeRank(Boxes& boxes, int rank) : boxes_(boxes), rank_(rank) {}
  int rank() const override { return rank_; }
  int ranks() const override { return static_cast<int>(boxes_.size()); }
  void Send(int rank, std::string_view text) override {
    boxes_.at(static_cast<std::size_t>(rank)).push_back({rank_, std::string(text)});
  }
  std::optional<Message> Receive() override {
    auto& box = boxes_[static_cast<std::size_t>(rank_)];
    if (box.empty()) return std::nullopt;
    Message message = std::move(box.front());
    box.pop_front();
    return message;
  }
  void Finish() override {}

 private:
  Boxes& boxes_;
  int rank_;
};

/// The coordinator's side of a rank.
class FakePort : public WorkerPort {
 public:
  FakePort(std::deque<ToWorker>& messages, std::vector<std::string>& heard)
      : messages_(messages), heard_(heard) {}
  void Send(const FromWorker& message) override {
    if (const auto* hello = std::get_if<Hello>(&message)) heard_.push_back("hello of " + hello->host);
    if (const auto* result = std::get_if<Result>(&message)) heard_.push_back("result " + result->key);
    if (std::holds_alternative<Heartbeat>(message)) heard_.push_back("heartbeat");
    if (std::holds_alternative<Goodbye>(message)) heard_.push_back("goodbye");
  }
  std::optional<ToWorker> Receive(double) override {
    if (messages_.empty()) return std::nullopt;
    ToWorker message = messages_.front();
    if (!std::holds_alternative<Stop>(message)) messages_.pop_front();  // a stop.json stays
    return message;
  }

 private:
  std::deque<ToWorker>& messages_;
  std::vector<std::string>& heard_;
};

class RankPorts : public ::testing::Test {
 protected:
  Boxes boxes_{3};
  FakeRank rank0_{boxes_, 0}, rank1_{boxes_, 1}, rank2_{boxes_, 2};
  std::map<int, std::deque<ToWorker>> messages_;
  std::map<int, std::vector<std::string>> heard_;
  RankRelay relay_{rank0_,
                   [this](int rank) { return std::make_unique<FakePort>(messages_[rank], heard_[rank]); }};
};

TEST_F(RankPorts, PassMessagesOfEachRankBothWays) {
  RankWorkerPort first(rank1_, [](double) {}), second(rank2_, [](double) {});
  first.Send(Hello{.host = "a"});
  second.Send(Hello{.host = "b"});
  messages_[1] = {Job{"x", io::Json::object()}, Presence{}};
  messages_[2] = {Stop{"done"}};
  EXPECT_TRUE(relay_.Pass());
  EXPECT_EQ(std::get<Job>(*first.Receive(0)).key, "x");
  EXPECT_TRUE(std::holds_alternative<Presence>(*first.Receive(0)));
  EXPECT_FALSE(first.Receive(1));
  EXPECT_EQ(std::get<Stop>(*second.Receive(0)).reason, "done");
  first.Send(Heartbeat{});
  first.Send(Result{"x", io::Json::object(), 1});
  second.Send(Goodbye{});
  relay_.Pass();
  EXPECT_FALSE(relay_.done());
  first.Send(Goodbye{});
  relay_.Pass();
  EXPECT_TRUE(relay_.done());
  EXPECT_THAT(heard_[1], ElementsAre("hello of a", "heartbeat", "result x", "goodbye"));
  EXPECT_THAT(heard_[2], ElementsAre("hello of b", "goodbye"));
}

TEST_F(RankPorts, PassARequestToStopOnAndEndWithTheLastRank) {
  RankWorkerPort first(rank1_), second(rank2_);
  first.Send(Hello{});
  second.Send(Hello{});
  relay_.Pass();
  StopToken stop;
  stop.RequestStop();
  int waits = 0;
  RunRelay(relay_, &stop, [&](double) {
    ASSERT_LT(++waits, 100);
    for (RankWorkerPort* port : {&first, &second})
      if (const auto message = port->Receive(0); message && std::holds_alternative<Stop>(*message))
        port->Send(Goodbye{});
  });
  EXPECT_TRUE(relay_.done());
}

TEST_F(RankPorts, SayWhichRankSentGarbage) {
  rank2_.Send(0, "{");
  try {
    relay_.Pass();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.fields().what, ::testing::HasSubstr("rank 2"));
  }
}

}  // namespace
}  // namespace forge::jobs
