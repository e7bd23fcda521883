// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"

namespace forge {
namespace {

thread_local bool inside_task = false;

int DefaultThreads() {
  if (const char* text = std::getenv("FORGE_THREADS")) {
    const int value = std::atoi(text);
    if (value >= 1 && value <= 256) return value;
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

namespace {

/// Waits a moment for `ready` without sleeping: parallel sections follow each other within microseconds in a
/// forward pass, and a wake-up takes longer than many of them (50 us on a virtual machine). Longer than two
/// wake-ups, or sleepers would keep each other asleep: one sleeps while the other wakes. First without giving
/// up the core, then letting others have it, who may be what is waited for. Returns whether it became ready.
template <class Ready>
bool SpinUntil(const Ready& ready) {
  constexpr auto kAlone = std::chrono::microseconds(50), kPatience = std::chrono::microseconds(200);
  const auto start = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration waited{};
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    if (waited > kAlone) sched_yield();
    waited = std::chrono::steady_clock::now() - start;
  } while (waited < kPatience);
  return ready();
}

}  // namespace

/// A run is over when its tasks are done, not when all workers have looked at it: one that wakes late finds
/// nothing to do, and nobody waits for it.
struct ThreadPool::State {
  std::mutex mutex;  // of going to sleep, and of `error`
  std::condition_variable wake, done;
  // The number of the run in the high half, its tasks that nobody has taken in the low half: a worker that is
  // late cannot take a task of a later run for one of its own.
  std::atomic<std::uint64_t> ticket{0};
  // Of the run that has tasks left or under way; they do not change before the last of these is done.
  const std::function<void(std::size_t)>* task = nullptr;
  std::size_t count = 0;
  std::atomic<std::size_t> finished{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> quit{false};
  std::exception_ptr error;
  std::mutex run_mutex;  // one Run at a time
  std::vector<std::thread> threads;

  static std::uint32_t RunOf(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket >> 32); }
  static std::uint32_t TasksOf(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket); }

  /// Does tasks of one run as long as there are some.
  void Work(std::uint32_t run) {
    inside_task = true;
    std::uint64_t seen = ticket;
    while (RunOf(seen) == run && TasksOf(seen) > 0) {
      if (!ticket.compare_exchange_weak(seen, seen - 1)) continue;
      const std::size_t all = count;
      try {
        (*task)(all - TasksOf(seen));
      } catch (...) {  // handed to the caller of Run
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
      if (finished.fetch_add(1) + 1 == all) {
        const std::lock_guard lock(mutex);  // the caller is either before its check or asleep
        done.notify_one();
      }
      seen = ticket;
    }
    inside_task = false;
  }

  void Loop() {
    std::uint32_t seen = 0;
    const auto called = [&] { return quit || RunOf(ticket) != seen; };
    for (;;) {
      if (!SpinUntil(called)) {
        std::unique_lock lock(mutex);
        ++sleepers;
        wake.wait(lock, called);
        --sleepers;
      }
      if (quit) return;
      seen = RunOf(ticket);
      Work(seen);
    }
  }
};

ThreadPool& ThreadPool::Global() {
  static ThreadPool pool(DefaultThreads());
  return pool;
}

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads), state_(new State) {
  for (int i = 1; i < num_threads; ++i) state_->threads.emplace_back([this] { state_->Loop(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->quit = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
  delete state_;
}

std::vector<std::thread::native_handle_type> ThreadPool::WorkerHandles() const {
  std::vector<std::thread::native_handle_type> handles;
  for (std::thread& thread : state_->threads) handles.push_back(thread.native_handle());
  return handles;
}

void ThreadPool::Run(std::size_t count, const std::function<void(std::size_t)>& task) {
  if (count == 0) return;
  if (inside_task || state_->threads.empty() || count == 1) {
    for (std::size_t i = 0; i < count; ++i) task(i);
    return;
  }
  FORGE_CHECK(count <= std::numeric_limits<std::uint32_t>::max());
  std::lock_guard run_lock(state_->run_mutex);
  state_->task = &task;  // nobody reads these: no task of the last run is left or under way
  state_->count = count;
  state_->finished = 0;
  state_->error = nullptr;
  const std::uint32_t run = State::RunOf(state_->ticket) + 1;
  bool has_sleepers;
  {
    const std::lock_guard lock(state_->mutex);  // a worker is either before its check or asleep
    state_->ticket = std::uint64_t{run} << 32 | count;
    has_sleepers = state_->sleepers > 0;
  }
  if (has_sleepers) state_->wake.notify_all();
  state_->Work(run);
  const auto finished = [&] { return state_->finished == count; };
  if (!SpinUntil(finished)) {
    std::unique_lock lock(state_->mutex);
    state_->done.wait(lock, finished);
  }
  if (state_->error) std::rethrow_exception(state_->error);
}

void ParallelFor(std::size_t size, std::size_t grain,
                 const std::function<void(std::size_t, std::size_t)>& body) {
  if (size == 0) return;
  ThreadPool& pool = ThreadPool::Global();
  const std::size_t pieces = std::clamp<std::size_t>(size / std::max<std::size_t>(grain, 1), 1,
                                                     static_cast<std::size_t>(pool.num_threads()) * 4);
  if (pieces == 1) return body(0, size);
  pool.Run(pieces, [&](std::size_t piece) { body(size * piece / pieces, size * (piece + 1) / pieces); });
}

}  // namespace forge
