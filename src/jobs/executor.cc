// SPDX-License-Identifier: Apache-2.0
#include "jobs/executor.h"

#include <chrono>

namespace forge::jobs {

JobResult LocalExecutor::Next() {
  const Job job = std::move(waiting_.front());
  waiting_.pop_front();
  const auto start = std::chrono::steady_clock::now();
  io::Json value = evaluate_(job);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {.key = job.key, .value = std::move(value), .worker = "here", .seconds = seconds};
}

}  // namespace forge::jobs
