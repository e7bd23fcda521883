// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace forge {

/// Our own threads, so that no OpenMP run-time is needed beside libtorch's.
/// Work is cut by the caller; results must not depend on which thread does what.
class ThreadPool {
 public:
  /// The process-wide pool; its size is FORGE_THREADS, or the number of cores this process may use.
  static ThreadPool& Global();

  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }
  /// Of its own threads: num_threads() without the one that calls Run.
  std::vector<std::thread::native_handle_type> WorkerHandles() const;

  /// Calls task(i) once for each i in [0, count), on this thread and the pool's; returns when all are done.
  /// An exception from a task is rethrown here (the first one). Calls from inside a task run serially.
  void Run(std::size_t count, const std::function<void(std::size_t)>& task);

 private:
  struct State;
  int num_threads_;
  State* state_;
};

/// Cuts [0, size) into pieces of at least `grain` and calls body(begin, end) on the global pool.
void ParallelFor(std::size_t size, std::size_t grain,
                 const std::function<void(std::size_t, std::size_t)>& body);

}  // namespace forge
