// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#include <span>
#include <thread>
#include <vector>

#include "base/thread_pool.h"

namespace forge {

/// The cores (logical processors) that the calling thread may run on, those first that share no execution
/// units: of hardware threads of one core (SMT) the second comes after the first of every other core.
/// Respects taskset, cpusets and containers. Throws Error(kEnvironment) when the system does not say.
std::vector<int> CoresForPinning();

/// `cores` in the order above; unit_of[i] is the same for two that share execution units.
std::vector<int> SpreadOverUnits(std::span<const int> cores, std::span<const int> unit_of);

/// While it lives, each thread of a pool runs on one core only: `caller`, who calls Run, on the first of
/// `cores`, worker i on cores[i mod size]; more threads than cores share them evenly. After it each thread
/// has the mask that it had. Threads that a pinned thread starts inherit its core: start them before, or from
/// another thread. The pool must outlive it.
class PinnedThreads {
 public:
  using Handle = std::thread::native_handle_type;

  /// Throws Error(kEnvironment), with all masks as they were, when the system refuses a core.
  explicit PinnedThreads(const ThreadPool& pool, Handle caller = pthread_self(),
                         std::vector<int> cores = CoresForPinning());
  ~PinnedThreads();
  PinnedThreads(const PinnedThreads&) = delete;
  PinnedThreads& operator=(const PinnedThreads&) = delete;

  /// The core of the caller, then of each worker.
  const std::vector<int>& cores() const { return pinned_to_; }

 private:
  struct Before {
    Handle thread;
    cpu_set_t mask;
  };
  void Restore();

  std::vector<Before> before_;
  std::vector<int> pinned_to_;
};

}  // namespace forge
