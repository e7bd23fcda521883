// SPDX-License-Identifier: Apache-2.0
// A coordinator or a worker with made-up jobs, for tests that kill real processes:
//   forge_jobs_fleet coordinate FOLDER JOBS WORKERS   prints nothing; writes FOLDER/results.json when all is
//   done forge_jobs_fleet work FOLDER                      joins FOLDER forge_jobs_fleet work-mpi FOLDER the
//   same as a rank of mpirun
// A job takes some milliseconds and gives a number that depends on its key only.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "io/atomic_file.h"
#include "jobs/coordinator.h"
#include "jobs/local_workers.h"
#include "jobs/mailbox_coordinator.h"
#include "jobs/mailbox_worker.h"
#include "jobs/rank_ports.h"
#include "jobs/worker_loop.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;

const Identity kIdentity{.version = "fleet", .inputs = "made up"};

io::Json DoMadeUpJob(const Job& job) {
  Random random(1, job.key);
  std::this_thread::sleep_for(std::chrono::milliseconds(2 + random.Below(20)));
  return {{"number", random.Uniform()}};
}

void Print(const std::string& line) { fmt::print(stderr, "{}\n", line); }

track::Store OpenRun(const fs::path& folder) {
  track::Store store = track::Store::Open(folder, track::Store::Mode::kWrite);
  if (store.FindRun("r1"))
    store.ResumeRun("r1");
  else
    store.CreateRun({.id = "r1"});
  return store;
}

void Coordinate(const std::string& program, const fs::path& folder, int jobs, int workers) {
  track::Store store = OpenRun(folder);
  MailboxCoordinatorPort port(folder / "workers", Print);
  std::optional<LocalWorkers> local;
  if (workers > 0)
    local.emplace(LocalWorkersOptions{.command = {program, "work", folder.string()},
                                      .count = workers,
                                      .most_restarts = 1000,
                                      .log = Print});
  Coordinator coordinator(port, store,
                          {.identity = kIdentity,
                           .run = "r1",
                           .stage = "evolve",
                           .most_losses = 20,
                           .expected_workers = workers,
                           .log = Print,
                           .tend = [&] {
                             if (!local) return;
                             local->Tend();
                             local->ThrowIfNoneIsLeft();
                           }});
  for (int job = 0; job < jobs; ++job) coordinator.Submit({fmt::format("job {}", job), io::Json::object()});
  io::Json results = io::Json::object();
  while (coordinator.UnderWay() > 0) {
    const JobResult result = coordinator.Next();
    if (results.contains(result.key)) throw Error({.what = "result " + result.key + " came twice"});
    results[result.key] = result.value;
  }
  io::WriteJsonFile(folder / "results.json", results);
}

void Work(const fs::path& folder) {
  MailboxWorkerPort port(folder / "workers");
  RunWorker(port, DoMadeUpJob, {.identity = kIdentity, .heartbeat_seconds = 1, .patience_seconds = 20});
}

void WorkAsRank(const fs::path& folder) {
  const std::unique_ptr<RankMessages> ranks = StartMpi();
  if (ranks->rank() == 0) {
    RankRelay relay(*ranks, [&](int rank) {
      return std::make_unique<MailboxWorkerPort>(folder / "workers",
                                                 fmt::format("{}-rank{}", NewWorkerName(), rank));
    });
    RunRelay(relay, nullptr);
  } else {
    RankWorkerPort port(*ranks);
    RunWorker(port, DoMadeUpJob, {.identity = kIdentity, .heartbeat_seconds = 1, .patience_seconds = 20});
  }
  ranks->Finish();
}

int Main(const std::vector<std::string>& arguments) {
  try {
    if (arguments.size() == 5 && arguments[1] == "coordinate")
      Coordinate(arguments[0], arguments[2], std::stoi(arguments[3]), std::stoi(arguments[4]));
    else if (arguments.size() == 3 && arguments[1] == "work")
      Work(arguments[2]);
    else if (arguments.size() == 3 && arguments[1] == "work-mpi")
      WorkAsRank(arguments[2]);
    else
      return 2;
    return 0;
  } catch (const Error& error) {
    Print(error.what());
    return error.exit_code();
  }
}

}  // namespace
}  // namespace forge::jobs

int main(int count, char** arguments) {
  return forge::jobs::Main(std::vector<std::string>(arguments, arguments + count));
}
