// SPDX-License-Identifier: Apache-2.0
#include "jobs/worker_loop.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

#include "base/error.h"
#include "jobs/beat_thread.h"
#include "track/process_id.h"

namespace forge::jobs {
namespace {

constexpr double kReceiveSeconds = 0.5;  // a request to stop is seen at least that often

/// Says goodbye when the worker ends, however it ends.
class Farewell {
 public:
  explicit Farewell(WorkerPort& port) : port_(port) {}
  ~Farewell() {
    try {
      port_.Send(Goodbye{reason_});
    } catch (const Error&) {  // then the coordinator hears nothing more, which says the same later
    }
  }
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;
  void SetReason(Error::Fields reason) { reason_ = std::move(reason); }

 private:
  WorkerPort& port_;
  Error::Fields reason_{.kind = ErrorKind::kEnvironment};
};

/// Does the job and sends its result, or that it cannot be done by anyone.
void DoJob(WorkerPort& port, const Job& job, const Evaluate& evaluate) {
  const auto start = std::chrono::steady_clock::now();
  io::Json value;
  try {
    value = evaluate(job);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInput && error.kind() != ErrorKind::kUsage) throw;
    port.Send(Failure{job.key, error.fields()});
    return;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  port.Send(Result{job.key, std::move(value), seconds});
}

[[noreturn]] void ThrowLonely(double patience_seconds) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "this worker has ended",
               .why = fmt::format("it saw no coordinator for {} s", patience_seconds),
               .fix = "start or resume the run, then the worker again"});
}

}  // namespace

Hello HelloOfThisProcess(const Identity& identity, int threads) {
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  return {.identity = identity,
          .host = host,
          .pid = getpid(),
          .process = track::OwnProcessId(),
          .threads = threads};
}

WorkerOutcome RunWorker(WorkerPort& port, const Evaluate& evaluate, const WorkerOptions& options) {
  WorkerOutcome outcome;
  port.Send(HelloOfThisProcess(options.identity, options.threads));
  Farewell farewell(port);
  const BeatThread heartbeat(options.heartbeat_seconds, [&] { port.Send(Heartbeat{}); });
  double last_sign = options.clock();
  for (;;) {
    if (options.stop != nullptr) options.stop->ThrowIfRequested("the last job");
    const std::optional<ToWorker> message = port.Receive(kReceiveSeconds);
    if (!message) {
      if (options.clock() - last_sign > options.patience_seconds) ThrowLonely(options.patience_seconds);
      continue;
    }
    last_sign = options.clock();
    if (const auto* refusal = std::get_if<Refusal>(&*message)) throw Error(refusal->reason);
    if (const auto* stop = std::get_if<Stop>(&*message)) {
      outcome.reason = stop->reason;
      return outcome;
    }
    const Job* job = std::get_if<Job>(&*message);
    if (job == nullptr) continue;
    try {
      DoJob(port, *job, evaluate);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kEnvironment) farewell.SetReason(error.fields());
      throw;
    } catch (const std::bad_alloc&) {
      farewell.SetReason(
          {.kind = ErrorKind::kEnvironment, .what = "out of memory", .why = "job " + job->key});
      throw;
    }
    ++outcome.jobs;
    last_sign = options.clock();
    if (options.log) options.log(fmt::format("done: {}", job->key));
  }
}

}  // namespace forge::jobs
