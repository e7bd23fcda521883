// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pinning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "base/error.h"

namespace forge {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int> CoresOf(const cpu_set_t& mask) {
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &mask)) cores.push_back(core);
  return cores;
}

cpu_set_t MaskOfThisThread() {
  cpu_set_t mask;
  EXPECT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
  return mask;
}

/// The cores that each thread of the pool may use, seen from inside tasks; the caller's first. Every thread
/// takes one task: none ends before all have begun.
std::vector<std::vector<int>> SeenFromInside(ThreadPool& pool) {
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  const pid_t caller = gettid();
  std::atomic<std::size_t> begun = 0, next_worker = 1;
  std::vector<std::vector<int>> seen(threads);
  pool.Run(threads, [&](std::size_t) {
    ++begun;
    while (begun < threads) sched_yield();
    seen[gettid() == caller ? 0 : next_worker++] = CoresOf(MaskOfThisThread());
  });
  std::sort(seen.begin() + 1, seen.end());
  return seen;
}

/// What this thread, and threads that it starts, may use while this lives.
class NarrowedMask {
 public:
  explicit NarrowedMask(int core) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~NarrowedMask() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_ = MaskOfThisThread();
};

TEST(PinnedThreads, GiveEachThreadOneCoreOfTheMaskAndItsOldMaskBack) {
  const std::vector<int> all = CoresOf(MaskOfThisThread());
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    const std::vector<std::vector<int>> untouched(static_cast<std::size_t>(threads), all);
    ASSERT_EQ(SeenFromInside(pool), untouched);
    {
      const PinnedThreads pinned(pool);
      std::vector<std::vector<int>> expected;
      const std::vector<int> cores = CoresForPinning();
      for (std::size_t i = 0; i < untouched.size(); ++i) expected.push_back({pinned.cores().at(i)});
      // The caller is pinned by now, so that CoresForPinning gives its core alone.
      EXPECT_THAT(cores, ElementsAre(pinned.cores().front()));
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(expected[i], expected[i % all.size()]) << "more threads than cores share them in turn";
      std::vector<int> used(
          pinned.cores().begin(),
          pinned.cores().begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), expected.size())));
      std::sort(used.begin(), used.end());
      EXPECT_EQ(std::unique(used.begin(), used.end()), used.end())
          << "two threads on a core while one is free";
      std::sort(expected.begin() + 1, expected.end());
      EXPECT_EQ(SeenFromInside(pool), expected);
    }
    EXPECT_EQ(SeenFromInside(pool), untouched);
  }
}

TEST(PinnedThreads, KeepToAMaskOfOneCore) {
  const int last = CoresOf(MaskOfThisThread()).back();
  const NarrowedMask narrowed(last);
  ThreadPool pool(3);
  EXPECT_THAT(CoresForPinning(), ElementsAre(last));
  const PinnedThreads pinned(pool);
  EXPECT_THAT(pinned.cores(), ElementsAre(last, last, last));
  EXPECT_THAT(SeenFromInside(pool), ElementsAre(ElementsAre(last), ElementsAre(last), ElementsAre(last)));
}

TEST(PinnedThreads, PinAnotherThreadThatCallsThePool) {
  const std::vector<int> all = CoresOf(MaskOfThisThread());
  ThreadPool pool(2);
  std::atomic<bool> is_pinned = false, is_done = false;
  std::vector<std::vector<int>> seen;
  std::thread caller([&] {
    while (!is_pinned) std::this_thread::yield();
    seen = SeenFromInside(pool);
    is_done = true;
  });
  {
    const PinnedThreads pinned(pool, caller.native_handle());
    EXPECT_EQ(CoresOf(MaskOfThisThread()), all);
    is_pinned = true;
    while (!is_done) std::this_thread::yield();
    EXPECT_THAT(seen, ElementsAre(ElementsAre(pinned.cores()[0]), ElementsAre(pinned.cores()[1])));
  }
  caller.join();
}

TEST(PinnedThreads, SayWhenTheSystemRefusesAndLeaveAllAsItWas) {
  const std::vector<int> all = CoresOf(MaskOfThisThread());
  ThreadPool pool(2);
  const int beyond = CPU_SETSIZE - 1;
  try {
    const PinnedThreads pinned(pool, pthread_self(), {all.front(), beyond});
    FAIL() << "this machine has " << CPU_SETSIZE << " cores?";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    EXPECT_THAT(error.what(), HasSubstr("refuses core 1023"));
    EXPECT_THAT(error.what(), HasSubstr("leave out --pin-threads"));
  }
  EXPECT_THAT(SeenFromInside(pool), ElementsAre(all, all));
}

// Four hardware threads on two cores, numbered as AMD does (siblings side by side) and as Intel does.
TEST(SpreadOverUnits, TakesEveryCoreBeforeASecondHardwareThread) {
  EXPECT_THAT(SpreadOverUnits(std::vector{0, 1, 2, 3}, std::vector{0, 0, 2, 2}), ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(SpreadOverUnits(std::vector{0, 1, 2, 3}, std::vector{0, 1, 0, 1}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(SpreadOverUnits(std::vector{5, 6, 7}, std::vector{4, 6, 6}), ElementsAre(5, 6, 7));
}

}  // namespace
}  // namespace forge
