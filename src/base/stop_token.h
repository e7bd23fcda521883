// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace forge {

/// Asked for by Ctrl-C or SIGTERM; long jobs look at it between two units of work.
/// A plain flag that is handed down, because libforge_engine.so has statics of its own.
class StopToken {
 public:
  void RequestStop() { requested_.store(true, std::memory_order_relaxed); }
  bool stop_requested() const { return requested_.load(std::memory_order_relaxed); }
  /// Throws Error(kInterrupted) once a stop was requested. `unit` says what is kept ("candidate 12").
  void ThrowIfRequested(const char* unit) const;

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace forge
