// SPDX-License-Identifier: Apache-2.0
#include "serve/scheduler.h"

#include <gmock/gmock.h>

#include "serve/testing_server.h"

namespace forge::serve {
namespace {

using std::chrono::milliseconds;
using testing::TinyModel;

class SchedulerTest : public ::testing::Test {
 protected:
  struct Asked {
    std::shared_ptr<Reply> reply;
    Scheduler::Admission admission;
    Scheduler::Ticket ticket = 0;
  };
  /// Asks for `tokens` tokens, `n` times.
  Asked Ask(Scheduler& scheduler, const std::string& client, int tokens, int n = 1) {
    Asked asked{.reply = std::make_shared<Reply>()};
    std::vector<runtime::ServingRequest> sequences;
    for (int i = 0; i < n; ++i) {
      Reply::ChoiceOptions options{.prompt = std::make_shared<const std::vector<int>>(4, 'a'),
                                   .generation = {.max_new_tokens = tokens}};
      sequences.push_back(asked.reply->AddChoice(model_.tokenizer, options));
      const auto on_end = sequences.back().on_end;
      sequences.back().on_end = [this, client, on_end](runtime::SequenceEnd end) {
        order_ += client;
        on_end(end);
      };
    }
    asked.admission = scheduler.Submit(client, std::move(sequences), asked.reply, asked.ticket);
    return asked;
  }
  static void Wait(const Asked& asked) {
    while (!asked.reply->finished()) asked.reply->Take(milliseconds(100));
  }
  static void WaitUntilNothingRuns(const Scheduler& scheduler) {
    while (scheduler.state().running + scheduler.state().waiting > 0) std::this_thread::yield();
  }

  TinyModel model_{200'000};
  std::string order_;  // written by the model's thread
};

TEST_F(SchedulerTest, TakesTurnsBetweenClients) {
  Scheduler scheduler(model_.native.transformer(), {.batch = {.max_sequences = 1}});
  const Asked first = Ask(scheduler, "a", 2000);  // the rest is there before it ends
  while (scheduler.state().running == 0) std::this_thread::yield();
  std::vector<Asked> all;
  for (int i = 0; i < 3; ++i) all.push_back(Ask(scheduler, "a", 3));
  all.push_back(Ask(scheduler, "b", 3));
  all.push_back(Ask(scheduler, "c", 3, 2));
  for (const Asked& asked : all) Wait(asked);
  WaitUntilNothingRuns(scheduler);
  EXPECT_EQ(order_, "aabcaca");
}

TEST_F(SchedulerTest, RefusesWhatTheQueueCannotHoldAndWhatComesAfterTheClose) {
  Scheduler scheduler(model_.native.transformer(), {.batch = {.max_sequences = 1}, .max_waiting = 2});
  const Asked running = Ask(scheduler, "a", 100'000);
  while (scheduler.state().running == 0) std::this_thread::yield();
  const Asked second = Ask(scheduler, "a", 3, 5), third = Ask(scheduler, "a", 3);
  EXPECT_EQ(third.admission, Scheduler::Admission::kTaken);
  EXPECT_EQ(Ask(scheduler, "b", 3).admission, Scheduler::Admission::kFull);
  scheduler.Cancel(second.ticket);
  scheduler.Cancel(running.ticket);
  Wait(third);
  EXPECT_EQ(Ask(scheduler, "b", 3).admission, Scheduler::Admission::kTaken);
  scheduler.Close();
  EXPECT_EQ(Ask(scheduler, "b", 3).admission, Scheduler::Admission::kClosed);
}

TEST_F(SchedulerTest, FreesWhatACancelledRequestHeld) {
  Scheduler scheduler(model_.native.transformer(), {.batch = {.max_sequences = 2}});
  const Asked asked = Ask(scheduler, "a", 100'000, 4);
  while (scheduler.state().running < 2) std::this_thread::yield();
  EXPECT_GT(scheduler.state().key_value_bytes, 0u);
  scheduler.Cancel(asked.ticket);
  WaitUntilNothingRuns(scheduler);
  while (scheduler.state().key_value_bytes > 0) std::this_thread::yield();
  EXPECT_EQ(scheduler.state().cancelled, 4u);
  EXPECT_LT(scheduler.state().completion_tokens, 100'000u);
  scheduler.Cancel(asked.ticket);  // twice does no harm
}

TEST_F(SchedulerTest, LetsAllRepliesFail) {
  Scheduler scheduler(model_.native.transformer(), {.batch = {.max_sequences = 1}});
  const Asked running = Ask(scheduler, "a", 100'000), waiting = Ask(scheduler, "b", 3);
  scheduler.FailAll(std::make_exception_ptr(std::bad_alloc()));
  EXPECT_THROW(Wait(running), std::bad_alloc);
  EXPECT_THROW(Wait(waiting), std::bad_alloc);
  WaitUntilNothingRuns(scheduler);
}

TEST_F(SchedulerTest, KnowsWhatNeverFits) {
  const Scheduler scheduler(model_.native.transformer(), {.batch = {.key_value_bytes = 1 << 20}});
  const runtime::ServingRequest small{.prompt = std::make_shared<const std::vector<int>>(4, 'a'),
                                      .options = {.max_new_tokens = 100}};
  runtime::ServingRequest large = small;
  large.options.max_new_tokens = 100'000;
  EXPECT_TRUE(scheduler.CouldRun(small));
  EXPECT_FALSE(scheduler.CouldRun(large));
}

TEST_F(SchedulerTest, PinsItsThreadWhenTold) {
  const auto cores_of_this_thread = [] {
    cpu_set_t mask;
    EXPECT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
    return CPU_COUNT(&mask);
  };
  const int all = cores_of_this_thread();
  for (const bool pins : {false, true}) {
    int seen = 0;  // by the model's thread
    {
      Scheduler scheduler(model_.native.transformer(), {.pin_threads = pins});
      runtime::ServingRequest request{.prompt = std::make_shared<const std::vector<int>>(4, 'a'),
                                      .options = {.max_new_tokens = 2},
                                      .on_token =
                                          [&](const runtime::ScoredToken&) {
                                            seen = cores_of_this_thread();
                                            return true;
                                          },
                                      .on_end = [](runtime::SequenceEnd) {}};
      Scheduler::Ticket ticket = 0;
      ASSERT_EQ(scheduler.Submit("a", {request}, std::make_shared<Reply>(), ticket),
                Scheduler::Admission::kTaken);
      WaitUntilNothingRuns(scheduler);
      EXPECT_EQ(cores_of_this_thread(), all);
    }
    EXPECT_EQ(seen, pins ? 1 : all);
  }
}

TEST_F(SchedulerTest, EndsThoughRequestsRunAndWait) {
  Asked running, waiting;
  {
    Scheduler scheduler(model_.native.transformer(), {.batch = {.max_sequences = 1}});
    running = Ask(scheduler, "a", 100'000);
    waiting = Ask(scheduler, "b", 3);
  }
  EXPECT_FALSE(waiting.reply->finished());
}

}  // namespace
}  // namespace forge::serve
