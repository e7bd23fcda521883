// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace forge::jobs {

/// How long to sleep between two looks for something new: a quarter of the time that nothing has come, from
/// 2 ms to 100 ms. So what comes is seen late by at most a quarter of what it took to come, and who waits for
/// long looks ten times a second.
class PollingPause {
 public:
  double NextSeconds() {
    const double pause = std::clamp(idle_ / 4, 0.002, 0.1);
    idle_ += pause;
    return pause;
  }
  /// Something has come.
  void Reset() { idle_ = 0; }

 private:
  double idle_ = 0;
};

inline void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

}  // namespace forge::jobs
