// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/thread_pinning.h"
#include "runtime/serving_batch.h"
#include "serve/fair_queue.h"
#include "serve/reply.h"

namespace forge::serve {

struct SchedulerLimits {
  runtime::ServingLimits batch;
  std::size_t max_waiting = 64;  // requests of which a sequence waits
  /// Whether the model's thread and those of the global pool are pinned to cores (base/thread_pinning.h).
  bool pin_threads = false;
};

/// Runs the model on a thread of its own: requests wait in a FairQueue and join the batch, sequence by
/// sequence, as soon as there is room. The next in turn is waited for, also if a smaller one would fit, so
/// that a large one is not put off for ever. May be used from several threads.
class Scheduler {
 public:
  using Ticket = std::uint64_t;
  enum class Admission { kTaken, kFull, kClosed };
  struct State {
    std::size_t running = 0, waiting = 0;  // sequences
    std::size_t key_value_bytes = 0;
    std::uint64_t prompt_tokens = 0, completion_tokens = 0, steps = 0, cancelled = 0;
  };

  /// The transformer must outlive the scheduler. Throws Error(kEnvironment) if threads cannot be pinned.
  Scheduler(const runtime::Transformer& transformer, const SchedulerLimits& limits);
  /// Drops everything at once.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Whether a sequence fits into an empty batch.
  bool CouldRun(const runtime::ServingRequest& request) const;
  std::size_t BytesFor(const runtime::ServingRequest& request) const;

  /// Takes the sequences of one request of `client`, which tell `reply`.
  Admission Submit(const std::string& client, std::vector<runtime::ServingRequest> sequences,
                   std::shared_ptr<Reply> reply, Ticket& ticket);
  /// Takes out what is left of a request, before the next step at the latest.
  void Cancel(Ticket ticket);
  /// From now on nothing is taken.
  void Close();
  /// Lets every reply fail with `error`.
  void FailAll(std::exception_ptr error);

  State state() const;

 private:
  struct Waiting {
    Ticket ticket;
    runtime::ServingRequest request;
  };
  struct Work {  // one request
    std::shared_ptr<Reply> reply;
    std::size_t waiting = 0;                     // sequences
    std::vector<runtime::ServingBatch::Id> ids;  // of those that joined, ended ones too
    std::size_t running = 0;
  };

  struct Started {};
  Scheduler(const runtime::Transformer& transformer, const SchedulerLimits& limits, Started);
  void Run();
  void Admit();
  void TakeOut(Ticket ticket);
  void Forget(Ticket ticket);

  const runtime::Transformer& transformer_;
  const SchedulerLimits limits_;
  // Only the model's thread uses these three.
  std::unique_ptr<runtime::ServingBatch> batch_;
  std::vector<Ticket> ended_in_step_;
  std::uint64_t counted_prompt_tokens_ = 0;
  std::atomic<std::uint64_t> completion_tokens_{0};

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  FairQueue<Waiting> queue_;
  std::unordered_map<Ticket, Work> work_;
  std::vector<Ticket> cancelled_;
  std::size_t waiting_requests_ = 0;
  Ticket next_ticket_ = 1;
  bool closed_ = false, stop_ = false;
  State state_;

  std::thread thread_;  // it uses all above
  std::unique_ptr<PinnedThreads> pinned_;
};

}  // namespace forge::serve
