// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sqlite3.h>

#include "base/error.h"
#include "track/store.h"
#include "track/test_folder.h"

namespace forge::track {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class StoreJobs : public testing::Test {
 protected:
  StoreJobs() : store_(Store::Open(folder_.path(), Store::Mode::kWrite, [this] { return now_; })) {
    store_.CreateRun({.id = "r1"});
  }
  JobRow Row(const char* key) { return store_.FindJob("r1", "evolve", key).value(); }
  bool Finish(const char* key, const char* worker, int value) {
    return store_.FinishJob("r1", "evolve",
                            {.key = key, .worker = worker, .value = {{"value", value}}, .seconds = 2});
  }

  const TestFolder folder_;
  double now_ = 1000;
  Store store_;
};

TEST_F(StoreJobs, GoFromOpenToLeasedToDoneWithTheirUnit) {
  EXPECT_EQ(store_.AddJob("r1", "evolve", "a", {{"n", 1}}).state, JobState::kOpen);
  store_.LeaseJob("r1", "evolve", "a", "w1");
  now_ = 1007;
  store_.HeartbeatJobs("r1", "evolve", std::vector<std::string>{"w0", "w1"});
  JobRow row = Row("a");
  EXPECT_EQ(row.state, JobState::kLeased);
  EXPECT_EQ(row.worker, "w1");
  EXPECT_EQ(row.attempts, 1);
  EXPECT_EQ(row.leased_at, 1000);
  EXPECT_EQ(row.heartbeat, 1007);
  EXPECT_FALSE(row.done_at);
  now_ = 1010;
  EXPECT_TRUE(Finish("a", "w1", 5));
  row = Row("a");
  EXPECT_EQ(row.state, JobState::kDone);
  EXPECT_EQ(row.done_at, 1010);
  EXPECT_EQ(row.seconds, 2);
  EXPECT_EQ(store_.GetUnit("r1", "evolve", "a"), (Json{{"value", 5}}));
}

TEST_F(StoreJobs, KeepTheFirstResultAndCountTheOthers) {
  store_.AddJob("r1", "evolve", "a", {});
  store_.LeaseJob("r1", "evolve", "a", "w1");
  store_.ReopenJob("r1", "evolve", "a");
  EXPECT_EQ(Row("a").state, JobState::kOpen);
  store_.LeaseJob("r1", "evolve", "a", "w2");
  EXPECT_TRUE(Finish("a", "w1", 5));
  EXPECT_FALSE(Finish("a", "w2", 6));
  store_.LeaseJob("r1", "evolve", "a", "w3");  // too late: nothing changes
  store_.ReopenJob("r1", "evolve", "a");
  EXPECT_EQ(Row("a").state, JobState::kDone);
  EXPECT_EQ(Row("a").worker, "w1");
  EXPECT_EQ(store_.GetUnit("r1", "evolve", "a"), (Json{{"value", 5}}));
  {
    Store::Transaction unit(store_);
    EXPECT_FALSE(Finish("never added", "w2", 6));
    unit.Commit();
  }
  EXPECT_FALSE(store_.GetUnit("r1", "evolve", "never added"));
  const JobCounts counts = store_.CountJobs("r1", "evolve");
  EXPECT_EQ(counts.done, 1);
  EXPECT_EQ(counts.attempts, 2);
  EXPECT_EQ(counts.extra_results, 1);
}

TEST_F(StoreJobs, StayAsTheyAreWhenAddedAgainAndMustBeTheSame) {
  store_.AddJob("r1", "evolve", "a", {{"n", 1}});
  store_.LeaseJob("r1", "evolve", "a", "w1");
  EXPECT_EQ(store_.AddJob("r1", "evolve", "a", {{"n", 1}}).state, JobState::kLeased);
  EXPECT_EQ(store_.AddJob("r1", "reason", "a", {{"n", 2}}).state, JobState::kOpen);
  try {
    store_.AddJob("r1", "evolve", "a", {{"n", 2}});
    ADD_FAILURE() << "another job under the same key";
  } catch (const Error& error) {
    EXPECT_THAT(error.fields().why, HasSubstr("job a"));
  }
  EXPECT_EQ(Row("a").what, (Json{{"n", 1}}));
}

TEST_F(StoreJobs, AreCountedByStateAndByWorker) {
  for (const char* key : {"a", "b", "c", "d"}) store_.AddJob("r1", "evolve", key, {});
  store_.LeaseJob("r1", "evolve", "a", "w1");
  store_.LeaseJob("r1", "evolve", "b", "w2");
  store_.LeaseJob("r1", "evolve", "c", "w2");
  EXPECT_TRUE(Finish("b", "w2", 1));
  const JobCounts counts = store_.CountJobs("r1", "evolve");
  EXPECT_EQ(counts.open, 1);
  EXPECT_EQ(counts.leased, 2);
  EXPECT_EQ(counts.done, 1);
  EXPECT_EQ(counts.attempts, 3);
  const std::vector<JobWorker> workers = store_.JobWorkers("r1", "evolve");
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].worker, "w1");
  EXPECT_EQ(workers[0].leased, 1);
  EXPECT_EQ(workers[1].leased, 1);
  EXPECT_EQ(workers[1].done, 1);
  EXPECT_EQ(workers[1].seconds, 2);
}

/// Makes the store what the forge before jobs wrote.
void TakeJobsAway(const std::filesystem::path& folder) {
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open((folder / "forge.db").c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw,
                         "DROP TABLE jobs; DROP TABLE kept_evaluations; DROP TABLE tensor_statistics; PRAGMA "
                         "user_version = 1",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(raw);
}

TEST(StoreOfTheFirstVersion, IsReadWithoutJobsAndGetsThemFromAWriter) {
  const TestFolder folder;
  {
    Store store = Store::Open(folder.path(), Store::Mode::kWrite);
    store.CreateRun({.id = "r1"});
    store.PutUnit("r1", "evolve", "candidate 1", {{"fitness", 0.5}});
  }
  TakeJobsAway(folder.path());
  Store reader = Store::Open(folder.path(), Store::Mode::kRead);
  EXPECT_TRUE(reader.GetUnit("r1", "evolve", "candidate 1"));
  EXPECT_FALSE(reader.FindJob("r1", "evolve", "a"));
  EXPECT_EQ(reader.CountJobs("r1", "evolve").open, 0);
  EXPECT_TRUE(reader.JobWorkers("r1", "evolve").empty());

  Store writer = Store::Open(folder.path(), Store::Mode::kWrite);
  EXPECT_TRUE(writer.GetUnit("r1", "evolve", "candidate 1"));
  writer.AddJob("r1", "evolve", "a", {});
  EXPECT_EQ(reader.CountJobs("r1", "evolve").open, 1);  // opened before the upgrade
}

}  // namespace
}  // namespace forge::track
