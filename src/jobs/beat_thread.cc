// SPDX-License-Identifier: Apache-2.0
#include "jobs/beat_thread.h"

#include <signal.h>

#include <chrono>

#include "base/error.h"

namespace forge::jobs {
namespace {

/// A signal must reach the thread that looks at the StopToken, not interrupt a write here.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

BeatThread::BeatThread(double seconds, std::function<void()> beat)
    : thread_([this, seconds, beat = std::move(beat)] {
        BlockSignals();
        std::unique_lock lock(mutex_);
        do {
          lock.unlock();
          try {
            beat();
          } catch (const Error&) {
          }
          lock.lock();
        } while (!end_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return ended_; }));
      }) {}

BeatThread::~BeatThread() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  end_.notify_all();
  thread_.join();
}

}  // namespace forge::jobs
