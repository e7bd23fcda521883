// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

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

/// Waits a moment for `ready` without giving up the core: parallel sections follow each other within
/// microseconds in a forward pass, and a sleep and wake-up would cost more than many of them take. Returns
/// whether it became ready.
template <class Ready>
bool SpinUntil(const Ready& ready) {
  constexpr auto kPatience = std::chrono::microseconds(30);
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() - start < kPatience);
  return ready();
}

}  // namespace

struct ThreadPool::State {
  std::mutex mutex;  // of what is not atomic, and of going to sleep
  std::condition_variable wake, done;
  const std::function<void(std::size_t)>* task = nullptr;
  std::size_t count = 0;
  std::atomic<std::size_t> next{0};
  std::atomic<int> active{0};  // workers that have not finished the current task
  std::atomic<std::uint64_t> generation{0};
  std::atomic<bool> quit{false};
  std::exception_ptr error;
  std::mutex run_mutex;  // one Run at a time
  std::vector<std::thread> threads;

  void Work() {
    inside_task = true;
    for (std::size_t i; (i = next.fetch_add(1)) < count;) {
      try {
        (*task)(i);
      } catch (...) {  // handed to the caller of Run
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    }
    inside_task = false;
  }

  void Loop() {
    std::uint64_t seen = 0;
    const auto called = [&] { return quit || generation != seen; };
    for (;;) {
      if (!SpinUntil(called)) {
        std::unique_lock lock(mutex);
        wake.wait(lock, called);
      }
      if (quit) return;
      seen = generation;
      Work();
      if (--active == 0) {
        const std::lock_guard lock(mutex);  // the caller is either before its check or asleep
        done.notify_one();
      }
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

void ThreadPool::Run(std::size_t count, const std::function<void(std::size_t)>& task) {
  if (count == 0) return;
  if (inside_task || state_->threads.empty() || count == 1) {
    for (std::size_t i = 0; i < count; ++i) task(i);
    return;
  }
  std::lock_guard run_lock(state_->run_mutex);
  {
    std::lock_guard lock(state_->mutex);
    state_->task = &task;
    state_->count = count;
    state_->next = 0;
    state_->error = nullptr;
    state_->active = static_cast<int>(state_->threads.size());
    ++state_->generation;  // last: a worker that spins starts here
  }
  state_->wake.notify_all();
  state_->Work();
  const auto finished = [&] { return state_->active == 0; };
  std::unique_lock lock(state_->mutex, std::defer_lock);
  if (!SpinUntil(finished)) {
    lock.lock();
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
