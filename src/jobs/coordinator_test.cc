// SPDX-License-Identifier: Apache-2.0
#include "jobs/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Says what the test tells it to, once, and writes down what the coordinator does.
class ScriptedPort : public CoordinatorPort {
 public:
  std::vector<Event> Poll(double) override { return std::exchange(events, {}); }
  void Settle() override {}
  void Send(const std::string& worker, const ToWorker& message) override {
    if (const Job* job = std::get_if<Job>(&message))
      lines.push_back(worker + " gets " + job->key);
    else if (const auto* refusal = std::get_if<Refusal>(&message))
      lines.push_back(worker + " is refused"), refused = refusal->reason;
    else
      lines.push_back(worker + " is stopped");
  }
  void Withdraw(const std::string& worker, const std::string& key) override {
    lines.push_back(worker + " gives back " + key);
  }
  void Forget(const std::string& worker) override { lines.push_back(worker + " is forgotten"); }

  std::vector<Event> events;
  std::vector<std::string> lines;
  Error::Fields refused;
};

class CoordinatorTest : public ::testing::Test {
 protected:
  CoordinatorTest() : store_(track::Store::Open(folder_.path(), track::Store::Mode::kWrite)) {
    store_.CreateRun({.id = "r1"});
  }
  CoordinatorOptions Options() {
    return {.identity = kIdentity,
            .run = "r1",
            .stage = "evolve",
            .log = [this](const std::string& line) { log_.push_back(line); },
            .stop = &stop_,
            .clock = [this] { return now_; },
            .wait =
                [this](double seconds) {
                  now_ += seconds;
                  if (script_.empty()) {
                    stop_.RequestStop();  // nothing more will happen
                    return;
                  }
                  const std::function<void()> step = std::move(script_.front());
                  script_.pop_front();
                  step();
                }};
  }
  /// What happens in one wait of the coordinator after the other.
  template <class... Steps>
  void Then(Steps... steps) {
    (script_.push_back(std::move(steps)), ...);
  }
  auto Says(std::vector<Event> events) {
    return [this, events] { port_.events.insert(port_.events.end(), events.begin(), events.end()); };
  }
  static Event Joins(const char* worker, Identity identity = kIdentity) {
    return {worker, Joined{.hello = {.identity = std::move(identity)}}};
  }
  static Event Does(const char* worker, const char* key, int value = 1) {
    return {worker, Result{key, {{"value", value}}, 0.5}};
  }
  std::vector<std::string> Lines() { return std::exchange(port_.lines, {}); }
  track::JobRow Row(const char* key) { return store_.FindJob("r1", "evolve", key).value(); }

  inline static const Identity kIdentity{.version = "1", .inputs = "abc"};
  const track::TestFolder folder_;
  track::Store store_;
  ScriptedPort port_;
  StopToken stop_;
  double now_ = 0;
  std::deque<std::function<void()>> script_;
  std::vector<std::string> log_;
};

TEST_F(CoordinatorTest, GivesJobsInOrderAndNoMoreThanPrefetchToEach) {
  Coordinator coordinator(port_, store_, Options());
  EXPECT_EQ(coordinator.Slots(), 1);
  for (const char* key : {"a", "b", "c", "d", "e"}) coordinator.Submit({key, {}});
  port_.events = {Joins("w1"), Joins("w2")};
  Then(Says({Does("w2", "b", 7)}));
  const JobResult result = coordinator.Next();
  EXPECT_EQ(result.key, "b");
  EXPECT_EQ(result.value.at("value"), 7);
  EXPECT_EQ(result.worker, "w2");
  EXPECT_EQ(result.seconds, 0.5);
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a", "w2 gets b", "w1 gets c", "w2 gets d", "w2 gets e"));
  EXPECT_EQ(coordinator.Slots(), 4);
  EXPECT_EQ(coordinator.UnderWay(), 4u);
  EXPECT_EQ(Row("b").state, track::JobState::kDone);
  EXPECT_EQ(Row("a").state, track::JobState::kLeased);
  EXPECT_EQ(store_.GetUnit("r1", "evolve", "b"), (io::Json{{"value", 7}}));
}

TEST_F(CoordinatorTest, GivesTheJobsOfASilentWorkerToAnotherAndCountsALateResultOnce) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  port_.events = {Joins("w1")};
  Then([&] { now_ += 5; }, [&] { now_ += 5; }, Says({Joins("w2")}), [&] { now_ += 7; },
       Says({{"w2", Heartbeat{}}}), [&] { now_ += 7; }, [&] { now_ += 7; },  // 31 s since w1 joined
       Says({Does("w1", "a", 5)}));
  EXPECT_EQ(coordinator.Next().value.at("value"), 5);
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a", "w1 gives back a", "w2 gets a", "w2 gives back a"));
  EXPECT_EQ(Row("a").attempts, 2);
  EXPECT_EQ(Row("a").worker, "w1");

  coordinator.Submit({"b", {}});
  Then(Says({Does("w2", "a", 6)}), Says({Does("w2", "b")}));
  EXPECT_EQ(coordinator.Next().key, "b");
  EXPECT_EQ(store_.GetUnit("r1", "evolve", "a"), (io::Json{{"value", 5}}));
  EXPECT_EQ(store_.CountJobs("r1", "evolve").extra_results, 1);
}

TEST_F(CoordinatorTest, TakesASilentWorkerBackWhenItIsHeardAgain) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  port_.events = {Joins("w1")};
  for (int i = 0; i < 5; ++i) Then([&] { now_ += 7; });
  Then(Says({{"w1", Heartbeat{}}}), Says({Does("w1", "a")}));
  EXPECT_EQ(coordinator.Next().worker, "w1");
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a", "w1 gives back a", "w1 gets a"));
}

TEST_F(CoordinatorTest, DoesNotHoldItsOwnPausesAgainstWorkers) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  coordinator.Submit({"b", {}});
  port_.events = {Joins("w1")};
  Then(Says({Does("w1", "a")}));
  coordinator.Next();
  now_ += 1000;  // the caller was busy
  Then([] {}, [] {}, Says({Does("w1", "b")}));
  EXPECT_EQ(coordinator.Next().key, "b");
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a", "w1 gets b"));
}

TEST_F(CoordinatorTest, GivesTheJobsOfOneThatLeavesDiesOrStartsAnewToOthers) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  port_.events = {Joins("w1")};
  Then(Says({{"w1", Goodbye{}}, Joins("w2")}), Says({{"w2", Gone{"killed"}}, Joins("w3")}),
       Says({Joins("w3")}), Says({Does("w3", "a")}));
  coordinator.Next();
  EXPECT_THAT(Lines(),
              ElementsAre("w1 gets a", "w1 gives back a", "w2 gets a", "w1 is forgotten", "w2 gives back a",
                          "w3 gets a", "w2 is forgotten", "w3 gives back a", "w3 gets a"));
  EXPECT_EQ(Row("a").attempts, 4);
}

TEST_F(CoordinatorTest, EndsWithTheNamesOfTheWorkersThatAJobHasCost) {
  CoordinatorOptions options = Options();
  options.most_losses = 2;
  Coordinator coordinator(port_, store_, options);
  coordinator.Submit({"a", {}});
  port_.events = {Joins("w1")};
  const Error::Fields full{.kind = ErrorKind::kEnvironment, .what = "cannot write x", .why = "disk full"};
  Then(Says({{"w1", Goodbye{full}}, Joins("w2")}), Says({{"w2", Gone{"signal 9"}}, Joins("w3")}));
  try {
    coordinator.Next();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    EXPECT_THAT(error.fields().what, HasSubstr("job a"));
    EXPECT_THAT(error.fields().why,
                HasSubstr("2 workers were lost over it (w1: cannot write x: disk full; w2: signal 9)"));
  }
}

TEST_F(CoordinatorTest, DoesNotBlameAJobThatWasOnlyInHand) {
  CoordinatorOptions options = Options();
  options.most_losses = 2;
  Coordinator coordinator(port_, store_, options);
  coordinator.Submit({"a", {}});
  coordinator.Submit({"b", {}});
  port_.events = {Joins("w1")};
  Then(Says({{"w1", Gone{""}}, Joins("w2")}), Says({Does("w2", "a"), {"w2", Gone{""}}, Joins("w3")}),
       Says({Does("w3", "b")}));
  EXPECT_EQ(coordinator.Next().key, "a");
  EXPECT_EQ(coordinator.Next().key, "b");  // was in w1's hand, and begun only by w2
}

TEST_F(CoordinatorTest, TurnsAwayOneOfAnotherVersionOrWithOtherInputsAndTakesNothingOfIt) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  port_.events = {Joins("old", {.version = "0.9", .inputs = "abc"}), Does("old", "a", 666)};
  Then(Says({Joins("w1")}), Says({Does("w1", "a", 1)}));
  EXPECT_EQ(coordinator.Next().value.at("value"), 1);
  EXPECT_THAT(Lines(), ElementsAre("old is refused", "w1 gets a"));
  EXPECT_THAT(port_.refused.why, HasSubstr("this forge is 0.9, the coordinator's is 1"));
  EXPECT_THAT(port_.refused.fix, HasSubstr("forge 1"));

  coordinator.Submit({"b", {}});
  Then(Says({Joins("other", {.version = "2", .inputs = "xyz"})}), Says({Does("w1", "b")}));
  coordinator.Next();
  EXPECT_THAT(port_.refused.why, HasSubstr("this forge is 2"));
  EXPECT_THAT(port_.refused.why, HasSubstr("hash to xyz, the coordinator's to abc"));
}

TEST_F(CoordinatorTest, TurnsAwayOneThatCannotBeUnderstood) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  port_.events = {Joins("w1"), {"never joined", Unreadable{"no JSON"}}};
  Then(Says({{"w1", Unreadable{"no JSON"}}, Joins("w2")}), Says({Does("w2", "a")}));
  EXPECT_EQ(coordinator.Next().worker, "w2");
  EXPECT_THAT(Lines(), ElementsAre("never joined is refused", "w1 gets a", "w1 gives back a", "w1 is refused",
                                   "w2 gets a"));
  EXPECT_EQ(port_.refused.why, "no JSON");
}

TEST_F(CoordinatorTest, ThrowsWhatAJobCanDoNowhere) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  port_.events = {Joins("w1")};
  Then(Says(
      {{"w1", Failure{"a", {.kind = ErrorKind::kInput, .what = "bad", .why = "it is", .fix = "mend it"}}}}));
  try {
    coordinator.Next();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_EQ(error.fields().what, "bad");
    EXPECT_THAT(error.fields().why, HasSubstr("it is (job a at worker w1)"));
    EXPECT_EQ(error.fields().fix, "mend it");
  }
  EXPECT_EQ(Row("a").state, track::JobState::kOpen);
}

TEST_F(CoordinatorTest, ReturnsWhatIsDoneAlreadyAndTakesResultsOfTheTimeWithoutACoordinator) {
  {
    Coordinator first(port_, store_, Options());
    for (const char* key : {"a", "b", "c", "e"}) first.Submit({key, {}});
    port_.events = {Joins("w1")};
    Then(Says({Does("w1", "a", 1)}));
    EXPECT_EQ(first.Next().key, "a");
  }
  Lines();
  Coordinator second(port_, store_, Options());
  second.Submit({"a", {}});
  EXPECT_EQ(second.Next().value.at("value"), 1);
  EXPECT_THAT(Lines(), IsEmpty());
  // w1 has done b and lives, with c in hand; d was never submitted by anyone.
  port_.events = {{"w1", Joined{.hello = {.identity = kIdentity}, .alive = true, .in_hand = {"c", "e"}}},
                  Does("w1", "b", 2),
                  Does("w1", "d", 4),
                  Joins("w2")};
  second.Submit({"c", {}});
  Then(Says({Does("w1", "c", 3)}));
  EXPECT_EQ(second.Next().value.at("value"), 3);
  EXPECT_THAT(Lines(), IsEmpty());  // c was w1's already
  EXPECT_EQ(Row("c").attempts, 1);
  second.Submit({"b", {}});
  EXPECT_EQ(second.Next().value.at("value"), 2);
  EXPECT_FALSE(store_.GetUnit("r1", "evolve", "d"));
  second.Submit({"e", {}});  // w1 has had it all the time
  Then(Says({Does("w1", "e", 5)}));
  EXPECT_EQ(second.Next().worker, "w1");
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(CoordinatorTest, GivesNothingToOneThatMayBeDeadUntilItIsHeard) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  coordinator.Submit({"b", {}});
  port_.events = {{"w1", Joined{.hello = {.identity = kIdentity}, .alive = false, .in_hand = {"b"}}}};
  Then([] {}, [&] { EXPECT_THAT(Lines(), IsEmpty()); }, Says({{"w1", Heartbeat{}}}), Says({Does("w1", "b")}));
  EXPECT_EQ(coordinator.Next().key, "b");
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a"));
}

TEST_F(CoordinatorTest, GivesAnIdleWorkerWhatAnotherHasNotBegun) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  coordinator.Submit({"b", {}});
  port_.events = {Joins("w1")};
  Then(Says({Joins("w2")}), Says({Does("w2", "b")}));
  EXPECT_EQ(coordinator.Next().worker, "w2");
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a", "w1 gets b", "w1 gives back b", "w2 gets b"));
}

TEST_F(CoordinatorTest, SaysThatItWaitsForWorkersAndHowToStartOne) {
  Coordinator coordinator(port_, store_, Options());
  coordinator.Submit({"a", {}});
  Then([&] { now_ += 9; }, [&] { EXPECT_THAT(log_, IsEmpty()); }, [&] { now_ += 1; }, [] {}, [] {},
       Says({Joins("w1")}), Says({Does("w1", "a")}));
  coordinator.Next();
  EXPECT_THAT(log_, ElementsAre(HasSubstr("waiting for workers; start one with `forge worker --run DIR`"),
                                HasSubstr("w1 has joined")));
}

TEST_F(CoordinatorTest, StopsOnRequestAndTellsAllWorkers) {
  {
    Coordinator coordinator(port_, store_, Options());
    coordinator.Submit({"a", {}});
    port_.events = {Joins("w1"), Joins("w2")};
    Then([&] { stop_.RequestStop(); });
    try {
      coordinator.Next();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
    }
  }
  EXPECT_THAT(Lines(), ElementsAre("w1 gets a", "w1 is stopped", "w2 is stopped"));
}

}  // namespace
}  // namespace forge::jobs
