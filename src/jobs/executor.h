// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>

#include "jobs/job.h"

namespace forge::jobs {

/// Does jobs. Any number may be submitted before results are taken; results come in any order, each job's
/// exactly once.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Submit(Job job) = 0;
  /// Waits for the next result. Throws Error if a job failed at a worker in a way that it would at any other,
  /// Error(kInterrupted) on a request to stop. Not to be called with nothing under way.
  virtual JobResult Next() = 0;
  /// How many jobs are usefully under way at once: workers, and some in hand for each; 1 or more.
  virtual int Slots() const = 0;
  virtual std::size_t UnderWay() const = 0;
};

/// What a worker does with a job.
using Evaluate = std::function<io::Json(const Job&)>;

/// Does each job in this process, when its result is asked for, in the order of submission.
class LocalExecutor : public Executor {
 public:
  explicit LocalExecutor(Evaluate evaluate) : evaluate_(std::move(evaluate)) {}
  void Submit(Job job) override { waiting_.push_back(std::move(job)); }
  JobResult Next() override;
  int Slots() const override { return 1; }
  std::size_t UnderWay() const override { return waiting_.size(); }

 private:
  Evaluate evaluate_;
  std::deque<Job> waiting_;
};

}  // namespace forge::jobs
