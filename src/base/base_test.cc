// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/nearest_name.h"
#include "base/thread_pool.h"

namespace forge {
namespace {

TEST(Error, ShowsWhatWhyAndFixOnThreeLines) {
  const Error error(
      {.kind = ErrorKind::kInput, .what = "cannot read a", .why = "it ends early", .fix = "copy it again"});
  EXPECT_STREQ(error.what(), "error: cannot read a\n  why: it ends early\n  fix: copy it again");
  EXPECT_EQ(error.exit_code(), 3);
}

TEST(NearestName, FindsAMisspellingAndIgnoresStrangers) {
  EXPECT_EQ(NearestName("generatons", {"seed", "generations"}), "generations");
  EXPECT_EQ(NearestName("zebra", {"seed", "generations"}), std::nullopt);
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  ThreadPool pool(3);
  for (const std::size_t count : {0u, 1u, 2u, 3u, 100u}) {
    std::vector<std::atomic<int>> calls(count);
    pool.Run(count, [&](std::size_t i) { ++calls[i]; });
    for (const auto& n : calls) EXPECT_EQ(n, 1);
  }
}

// Tasks that follow at once find the workers awake, later ones find them asleep; none may be lost or run
// twice.
TEST(ThreadPool, RunsShortTasksInARowAndAfterAPause) {
  ThreadPool pool(4);
  std::vector<int> runs(64);
  int rounds = 0;
  for (const int pause_us : {0, 5, 40, 400})
    for (int i = 0; i < (pause_us < 100 ? 2000 : 100); ++i, ++rounds) {
      pool.Run(runs.size(), [&](std::size_t task) { ++runs[task]; });
      if (pause_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    }
  EXPECT_EQ(runs, std::vector<int>(64, rounds));
}

TEST(ThreadPool, RethrowsAnExceptionAndStaysUsable) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.Run(10,
                        [](std::size_t i) {
                          if (i == 5) throw std::runtime_error("x");
                        }),
               std::runtime_error);
  std::atomic<int> sum = 0;
  pool.Run(10, [&](std::size_t i) { sum += static_cast<int>(i); });
  EXPECT_EQ(sum, 45);
}

// Runs follow each other faster than sleepers wake: one that is late must not take a task of a later run.
TEST(ThreadPool, ShortRunsInARowDoEveryTaskOnce) {
  ThreadPool pool(4);
  for (std::size_t run = 0; run < 20000; ++run) {
    const std::size_t count = 2 + run % 7;
    std::vector<std::atomic<int>> done(count);
    pool.Run(count, [&](std::size_t i) { ++done.at(i); });
    for (const std::atomic<int>& times : done) ASSERT_EQ(times, 1) << run;
    if (run % 4000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // all fall asleep
  }
}

}  // namespace
}  // namespace forge
