// SPDX-License-Identifier: Apache-2.0
// The promises of the coordinator over a whole search in virtual time; coordinator_bench.cc is the large one.
#include <gtest/gtest.h>

#include "jobs/testing_simulation.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

using testing::Search;
using testing::SearchTally;
using testing::SimulatedWorkers;

TEST(SimulatedSearch, DoesEveryJobExactlyOnceThoughWorkersAndCoordinatorsDie) {
  const track::TestFolder folder;
  track::Store store = track::Store::Open(folder.path(), track::Store::Mode::kWrite);
  store.CreateRun({.id = "r1"});
  SimulatedWorkers workers(40, /*seed=*/1, {.dies = 0.1, .falls_silent = 0.05, .leaves = 0.05});
  const SearchTally tally = Search(workers, store, 3000, /*kills=*/4);
  EXPECT_EQ(tally.coordinators, 5);
  EXPECT_EQ(tally.wrong, 0);
  ASSERT_EQ(tally.returned.size(), 3000u);
  for (const auto& [key, times] : tally.returned) ASSERT_EQ(times, 1) << key;
  const track::JobCounts counts = store.CountJobs("r1", "evolve");
  EXPECT_EQ(counts.done, 3000);
  EXPECT_EQ(counts.open + counts.leased, 0);
  EXPECT_EQ(store.CountUnits("r1", "evolve"), 3000);
  EXPECT_GT(workers.deaths(), 100);
  EXPECT_GT(counts.extra_results, 0);  // of workers that were late, and of coordinators that died
  EXPECT_EQ(workers.results_given(), counts.done + counts.extra_results);
}

TEST(SimulatedSearch, TakesTheSameStepsForTheSameSeed) {
  std::vector<double> ends;
  for (int time = 0; time < 2; ++time) {
    const track::TestFolder folder;
    track::Store store = track::Store::Open(folder.path(), track::Store::Mode::kWrite);
    store.CreateRun({.id = "r1"});
    SimulatedWorkers workers(10, /*seed=*/2);
    Search(workers, store, 200, /*kills=*/1);
    ends.push_back(workers.now());
  }
  EXPECT_EQ(ends[0], ends[1]);
}

}  // namespace
}  // namespace forge::jobs
