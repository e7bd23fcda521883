// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace forge::jobs {

/// Calls `beat` at once and then every `seconds` on a thread of its own, until it is destroyed. A beat that
/// throws Error (a full disk, a file system that is away) is missed; the next one is tried all the same.
class BeatThread {
 public:
  BeatThread(double seconds, std::function<void()> beat);
  ~BeatThread();
  BeatThread(const BeatThread&) = delete;
  BeatThread& operator=(const BeatThread&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable end_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace forge::jobs
