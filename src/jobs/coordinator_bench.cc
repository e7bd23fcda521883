// SPDX-License-Identifier: Apache-2.0
// A search of 100,000 jobs by 1000 workers that die, fall silent, leave and come back, in virtual time, with
// the rows of a real store. Ends the program with an error unless every job was done exactly once.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "jobs/testing_simulation.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  fmt::print(stderr, "error: {}\n", what);
  std::exit(1);
}

void BM_SimulatedSearch(benchmark::State& state) {
  const auto count = static_cast<int>(state.range(1));
  for (auto _ : state) {
    const track::TestFolder folder;
    track::Store store = track::Store::Open(folder.path(), track::Store::Mode::kWrite);
    store.CreateRun({.id = "r1"});
    testing::SimulatedWorkers workers(static_cast<int>(state.range(0)), /*seed=*/1);
    const testing::SearchTally tally = testing::Search(workers, store, count, /*kills=*/4);
    const track::JobCounts counts = store.CountJobs("r1", "evolve");
    Require(tally.returned.size() == static_cast<std::size_t>(count) && tally.wrong == 0,
            "not every result came back right");
    Require(std::all_of(tally.returned.begin(), tally.returned.end(),
                        [](const auto& job) { return job.second == 1; }),
            "a result came back twice");
    Require(counts.done == count && store.CountUnits("r1", "evolve") == count, "not every job is done once");
    Require(workers.results_given() == counts.done + counts.extra_results, "a result was not counted");
    state.counters["attempts"] = static_cast<double>(counts.attempts);
    state.counters["worker_deaths"] = static_cast<double>(workers.deaths());
    state.counters["coordinator_deaths"] = static_cast<double>(tally.coordinators - 1);
    state.counters["duplicates_refused"] = static_cast<double>(counts.extra_results);
    state.counters["virtual_seconds"] = workers.now();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * count);
}
BENCHMARK(BM_SimulatedSearch)
    ->ArgNames({"workers", "jobs"})
    ->Args({1000, 100'000})
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kSecond);

}  // namespace
}  // namespace forge::jobs
