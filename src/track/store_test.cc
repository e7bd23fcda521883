// SPDX-License-Identifier: Apache-2.0
#include "track/store.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "io/atomic_file.h"
#include "track/process_id.h"
#include "track/store_metric_sink.h"
#include "track/test_folder.h"

namespace forge::track {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

struct FakeClock {
  std::shared_ptr<double> now = std::make_shared<double>(1'000'000);
  double operator()() const { return *now; }
};

Store OpenWithRun(const std::filesystem::path& folder, FakeClock clock = {}) {
  Store store = Store::Open(folder, Store::Mode::kWrite, clock);
  store.CreateRun({.id = "r1", .command = "forge evo", .config = {{"generations", 3}}, .seed = 7});
  return store;
}

template <class Call>
Error::Fields FieldsOf(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.fields();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(Store, GivesBackARunAsItWasCreated) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  Store reader = Store::Open(folder.path(), Store::Mode::kRead);
  const auto run = reader.FindRun("r1");
  ASSERT_TRUE(run);
  EXPECT_EQ(run->command, "forge evo");
  EXPECT_EQ(run->config, Json({{"generations", 3}}));
  EXPECT_EQ(run->seed, 7);
  EXPECT_EQ(run->created, 1'000'000);
  EXPECT_EQ(run->state, State::kRunning);
  EXPECT_FALSE(reader.FindRun("r2"));
}

TEST(Store, RefusesASecondRunOfTheSameName) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  EXPECT_THAT(FieldsOf([&] { store.CreateRun({.id = "r1"}); }).what, HasSubstr("exists already"));
  store.CreateRun({.id = "r2"});  // the refused one left no transaction open
}

TEST(Store, RefusesToReadAFolderWithoutAStore) {
  const TestFolder folder;
  const Error::Fields fields = FieldsOf([&] { Store::Open(folder.path(), Store::Mode::kRead); });
  EXPECT_EQ(fields.kind, ErrorKind::kInput);
  EXPECT_THAT(fields.what, HasSubstr("no runs in"));
}

// A run that another process is starting: its file is there before its tables are.
TEST(Store, CountsAStoreWithoutTablesAsNone) {
  const TestFolder folder;
  std::ofstream(folder.path() / "forge.db").close();
  EXPECT_FALSE(Store::OpenIfAny(folder.path()));
  EXPECT_THAT(FieldsOf([&] { Store::Open(folder.path(), Store::Mode::kRead); }).what,
              HasSubstr("no runs in"));
  Store store = OpenWithRun(folder.path());
  EXPECT_TRUE(Store::OpenIfAny(folder.path()));
}

TEST(Store, RefusesANewerSchema) {
  const TestFolder folder;
  { Store store = OpenWithRun(folder.path()); }
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open((folder.path() / "forge.db").c_str(), &raw), SQLITE_OK);
  sqlite3_exec(raw, "PRAGMA user_version = 999", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  EXPECT_THAT(FieldsOf([&] { Store::Open(folder.path(), Store::Mode::kWrite); }).why, HasSubstr("999"));
}

TEST(Store, WritesNothingIntoTheDatabaseOfAnotherProgram) {
  for (const char* version : {"0", "1", "999"}) {
    const TestFolder folder;
    const std::filesystem::path file = folder.path() / "forge.db";
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(file.c_str(), &raw), SQLITE_OK);
    const std::string sql = std::string("CREATE TABLE songs(title TEXT); PRAGMA user_version = ") + version;
    ASSERT_EQ(sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(raw);
    const std::string before = io::ReadFile(file);
    EXPECT_THAT(FieldsOf([&] { Store::Open(folder.path(), Store::Mode::kWrite); }).why, HasSubstr("songs"));
    EXPECT_TRUE(io::ReadFile(file) == before);
    if (std::string(version) == "0") {
      EXPECT_FALSE(Store::OpenIfAny(folder.path()));
    }
  }
}

TEST(Store, RefusesAFileThatIsNoDatabase) {
  const TestFolder folder;
  std::ofstream(folder.path() / "forge.db") << std::string(4096, 'x');
  EXPECT_EQ(FieldsOf([&] { Store::Open(folder.path(), Store::Mode::kRead); }).kind, ErrorKind::kInput);
}

TEST(Store, UndoesATransactionThatIsNotCommitted) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  {
    Store::Transaction unit(store);
    store.RecordCandidate("r1", {.id = 1});
    store.PutUnit("r1", "evolve", "candidate 1", {{"fitness", 0.5}});
  }
  EXPECT_FALSE(store.FindCandidate("r1", 1));
  EXPECT_FALSE(store.GetUnit("r1", "evolve", "candidate 1"));
}

TEST(Store, ShowsAUnitToReadersAtOnceWhenItIsCommitted) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  Store reader = Store::Open(folder.path(), Store::Mode::kRead);
  Store::Transaction unit(store);
  store.RecordCandidate("r1", {.id = 1});
  store.PutUnit("r1", "evolve", "candidate 1", 0.1 + 0.2);
  EXPECT_FALSE(reader.FindCandidate("r1", 1));
  unit.Commit();
  EXPECT_TRUE(reader.FindCandidate("r1", 1));
  EXPECT_EQ(reader.GetUnit("r1", "evolve", "candidate 1")->get<double>(), 0.1 + 0.2);  // every bit
  EXPECT_EQ(reader.CountUnits("r1", "evolve"), 1);
}

TEST(Store, KeepsCandidatesAndEvaluations) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  const Candidate candidate{.id = 4,
                            .generation = 2,
                            .kind = "child",
                            .label = "",
                            .genome = {{"density", 0.25}},
                            .parents = {1, 3},
                            .scores = {{"fitness", 0.75}},
                            .state = State::kDone};
  store.RecordCandidate("r1", candidate);
  store.RecordEvaluation(
      "r1", {.candidate = 4, .split = "search", .domain = "math", .score = 0.5, .items = {1, 0}});
  store.RecordEvaluation(
      "r1", {.candidate = 4, .split = "search", .domain = "code", .score = -1.5, .items = {-1.5f}});
  const std::optional<Candidate> found = store.FindCandidate("r1", 4);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->genome, candidate.genome);
  EXPECT_THAT(found->parents, ElementsAre(1, 3));
  EXPECT_EQ(found->Fitness(), 0.75);
  ASSERT_THAT(store.Evaluations("r1", 4), SizeIs(2));
  EXPECT_THAT(store.FindEvaluation("r1", 4, "search", "math")->items, ElementsAre(1, 0));
  EXPECT_THAT(store.FindEvaluation("r1", 4, "search", "code")->items, ElementsAre(-1.5f));
  EXPECT_FALSE(store.FindEvaluation("r1", 4, "test", "math"));
}

TEST(Store, ReplacesAMetricThatIsReportedAgainAndGivesItANewId) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  store.Metric("r1", "reason", "loss", 1, 2.0);
  store.Metric("r1", "reason", "loss", 2, std::numeric_limits<double>::quiet_NaN());
  store.Metric("r1", "reason", "loss", 3, std::numeric_limits<double>::infinity());
  store.Flush();
  const std::vector<MetricPoint> first = store.MetricsAfter("r1", 0, 100);
  ASSERT_THAT(first, SizeIs(3));
  EXPECT_TRUE(std::isnan(first[1].value));
  EXPECT_TRUE(std::isinf(first[2].value));
  store.Metric("r1", "reason", "loss", 1, 1.5);
  store.Flush();
  const std::vector<MetricPoint> second = store.MetricsAfter("r1", first.back().id, 100);
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].step, 1);
  EXPECT_EQ(second[0].value, 1.5);
  EXPECT_THAT(store.MetricsAfter("r1", 0, 100), SizeIs(3));
}

TEST(Store, ThinsASeriesButKeepsItsLastPoint) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  for (int step = 0; step < 1000; ++step) store.Metric("r1", "reason", "loss", step, step);
  store.Metric("r1", "reason", "short", 0, 1);
  store.Flush();
  const std::vector<MetricPoint> thinned = store.MetricsThinned("r1", 100);
  ASSERT_THAT(thinned, SizeIs(101));
  EXPECT_EQ(thinned[99].step, 999);
  EXPECT_EQ(thinned[0].step, 9);  // every tenth, counted from the last
}

TEST(Store, WritesBufferedMetricsWithTheNextTransaction) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  Store reader = Store::Open(folder.path(), Store::Mode::kRead);
  store.Flush();
  store.Metric("r1", "reason", "loss", 1, 2.0);
  EXPECT_THAT(reader.MetricsAfter("r1", 0, 10), SizeIs(0));
  store.PutUnit("r1", "reason", "segment 1", true);
  EXPECT_THAT(reader.MetricsAfter("r1", 0, 10), SizeIs(1));
}

TEST(Store, KeepsMetricsOfANewSeriesWhenTheTransactionAroundThemIsUndone) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  {
    Store::Transaction unit(store);
    store.Metric("r1", "reason", "loss", 1, 2.0);
  }
  store.Flush();
  EXPECT_THAT(store.MetricsAfter("r1", 0, 10), SizeIs(1));
}

TEST(Store, WritesASeriesAgainWhoseFirstPointsWereUndone) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  {
    Store::Transaction unit(store);
    store.Metric("r1", "reason", "loss", 1, 2.0);
    store.EndStage("r1", "reason", State::kDone);  // writes the point, which is undone with the rest
  }
  store.Metric("r1", "reason", "loss", 1, 2.0);
  store.Flush();
  EXPECT_THAT(store.MetricsAfter("r1", 0, 10), SizeIs(1));
}

TEST(Store, MeasuresRateAndTimeLeftFromRecentProgress) {
  const TestFolder folder;
  FakeClock clock;
  Store store = OpenWithRun(folder.path(), clock);
  store.BeginStage("r1", "evolve");
  store.Progress("r1", "evolve", 100, 200, "candidates");  // 100 read back on resume: not a rate
  *clock.now += 10;
  store.Progress("r1", "evolve", 105, 200, "candidates");
  *clock.now += 10;
  store.Progress("r1", "evolve", 110, 200, "candidates");
  const std::optional<Stage> stage = store.FindStage("r1", "evolve");
  ASSERT_TRUE(stage);
  EXPECT_EQ(stage->done, 110);
  EXPECT_DOUBLE_EQ(stage->rate.value(), 0.5);           // 10 in 20 s
  EXPECT_DOUBLE_EQ(stage->SecondsLeft().value(), 180);  // 90 left
  EXPECT_DOUBLE_EQ(stage->seconds, 20);
}

TEST(Store, AddsUpTheSecondsOfAStageOverSessions) {
  const TestFolder folder;
  FakeClock clock;
  Store store = OpenWithRun(folder.path(), clock);
  store.BeginStage("r1", "evolve");
  *clock.now += 5;
  store.EndStage("r1", "evolve", State::kInterrupted);
  store.FinishRun("r1", State::kInterrupted);
  *clock.now += 1000;
  store.ResumeRun("r1");
  store.BeginStage("r1", "evolve");
  *clock.now += 7;
  store.EndStage("r1", "evolve", State::kDone, {{"n", 1}});
  EXPECT_DOUBLE_EQ(store.FindStage("r1", "evolve")->seconds, 12);
  EXPECT_EQ(store.FindStage("r1", "evolve")->result, Json({{"n", 1}}));
}

TEST(Store, KeepsLogLinesThatAreNoUtf8) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  store.AddEvent("r1", "log", "evolve", {{"line", "a\xff\xfe b"}});
  const std::vector<Event> events = store.LastEvents("r1", "log", 10);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_THAT(events[0].json.at("line").get<std::string>(), HasSubstr(" b"));
}

/// A child process that writes units until it is killed; returns once it has written some.
pid_t StartWriter(const std::filesystem::path& folder) {
  int ready[2];
  if (pipe(ready) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    Store store = OpenWithRun(folder);
    store.BeginStage("r1", "evolve");
    for (int i = 0;; ++i) {
      Store::Transaction unit(store);
      store.RecordCandidate("r1", {.id = i});
      store.PutUnit("r1", "evolve", "candidate " + std::to_string(i), i);
      unit.Commit();
      if (i == 20 && write(ready[1], "x", 1) != 1) _exit(1);
    }
  }
  char byte;
  const bool got = read(ready[0], &byte, 1) == 1;
  close(ready[0]);
  close(ready[1]);
  return got ? child : -1;
}

TEST(Store, StaysReadableAndWholeWhenTheWriterIsKilled) {
  const TestFolder folder;
  const pid_t child = StartWriter(folder.path());
  ASSERT_GT(child, 0);
  Store reader = Store::Open(folder.path(), Store::Mode::kRead);
  EXPECT_EQ(reader.FindRun("r1")->state, State::kRunning);
  Store second = Store::Open(folder.path(), Store::Mode::kWrite);
  EXPECT_THAT(FieldsOf([&] { second.ResumeRun("r1"); }).why, HasSubstr("still running"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  Store after = Store::Open(folder.path(), Store::Mode::kRead);
  EXPECT_EQ(after.FindRun("r1")->state, State::kInterrupted);  // nobody said so: its process is gone
  EXPECT_EQ(after.FindStage("r1", "evolve")->state, State::kInterrupted);
  const auto candidates = after.Candidates("r1");
  EXPECT_GE(candidates.size(), 20u);
  EXPECT_EQ(static_cast<std::int64_t>(candidates.size()), after.CountUnits("r1", "evolve"));
  second.ResumeRun("r1");
  EXPECT_EQ(after.FindRun("r1")->state, State::kRunning);
}

TEST(ProcessId, TellsALivingProcessFromAGoneOneAndFromOneOfAnotherMachine) {
  EXPECT_EQ(LivenessOf(OwnProcessId()), Liveness::kAlive);
  EXPECT_EQ(LivenessOf(OwnProcessId() + "1"), Liveness::kDead);  // same pid, other start time
  EXPECT_EQ(LivenessOf("other-boot:1:2:3"), Liveness::kUnknown);
}

TEST(PackItems, IsTheExampleWorkedByHand) {
  const std::vector<float> items{1, 0, 1};
  EXPECT_THAT(PackItems(items), ElementsAre(std::byte{'b'}, std::byte{3}, std::byte{0}, std::byte{0},
                                            std::byte{0}, std::byte{5}));
  EXPECT_THROW(UnpackItems(std::vector{std::byte{'b'}, std::byte{3}}), Error);
  EXPECT_THAT(UnpackItems(PackItems({})), SizeIs(0));
}

TEST(NewRunId, SortsByTimeAndNeverRepeats) {
  EXPECT_EQ(NewRunId(1'000'000'000, [](const std::string&) { return false; }), "run-20010909-014640");
  EXPECT_EQ(NewRunId(1'000'000'000, [](const std::string& id) { return id == "run-20010909-014640"; }),
            "run-20010909-014640-2");
}

class RecordingSink : public MetricSink {
 public:
  void Metric(std::string_view name, std::int64_t, double) override { seen.emplace_back(name); }
  void Progress(std::string_view stage, std::int64_t, std::int64_t, std::string_view) override {
    seen.emplace_back(stage);
  }
  void Log(std::string_view line) override { seen.emplace_back(line); }
  std::vector<std::string> seen;
};

TEST(StoreMetricSink, WritesToItsStageAndForwards) {
  const TestFolder folder;
  Store store = OpenWithRun(folder.path());
  store.BeginStage("r1", "reason");
  RecordingSink forward;
  StoreMetricSink sink(store, "r1", "reason", &forward);
  sink.Metric("loss", 3, 0.5);
  sink.Progress("distill", 3, 9, "steps");
  sink.Log("hello");
  store.Flush();
  EXPECT_THAT(forward.seen, ElementsAre("loss", "distill", "hello"));
  EXPECT_EQ(store.MetricsAfter("r1", 0, 9).at(0).stage, "reason");
  EXPECT_EQ(store.FindStage("r1", "reason")->activity, "distill");
  EXPECT_EQ(store.FindStage("r1", "reason")->total, 9);
  EXPECT_EQ(store.LastEvents("r1", "log", 9).at(0).json.at("line"), "hello");
}

}  // namespace
}  // namespace forge::track
