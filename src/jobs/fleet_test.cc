// SPDX-License-Identifier: Apache-2.0
// Real processes that are killed (testing_fleet.cc).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "base/philox.h"
#include "io/json_file.h"
#include "jobs/mailbox_files.h"
#include "track/store.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;

constexpr int kJobs = 300;

pid_t Start(std::vector<std::string> command, const fs::path& output) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const pid_t process = fork();
  if (process != 0) return process;
  if (std::freopen(output.c_str(), "a", stderr) == nullptr) _exit(126);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

pid_t StartCoordinator(const fs::path& folder, int workers) {
  return Start({FORGE_FLEET, "coordinate", folder.string(), std::to_string(kJobs), std::to_string(workers)},
               folder / "log");
}

std::string LogOf(const fs::path& folder) {
  std::ifstream file(folder / "log");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Waits for its end; the exit code, -1 if it did not end by itself in two minutes.
int ExitCode(pid_t process) {
  for (int i = 0; i < 24'000; ++i) {
    int status = 0;
    if (waitpid(process, &status, WNOHANG) == process) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
  return -1;
}

/// Process ids of the workers that have joined, from their names <host>-<pid>-<random>.
std::vector<pid_t> WorkersIn(const fs::path& folder) {
  std::vector<pid_t> processes;
  std::error_code error;
  for (fs::directory_iterator entry(folder / "workers", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const std::size_t last = name.rfind('-'), first = name.rfind('-', last - 1);
    if (IsWorkerName(name) && first != std::string::npos && last != first)
      processes.push_back(std::stoi(name.substr(first + 1, last - first - 1)));
  }
  return processes;
}

void ExpectAllDoneOnce(const fs::path& folder) {
  const io::Json results = io::ReadJsonFile(folder / "results.json");
  ASSERT_EQ(results.size(), static_cast<std::size_t>(kJobs));
  for (int job = 0; job < kJobs; ++job) {
    const std::string key = fmt::format("job {}", job);
    Random random(1, key);
    random.Below(20);                                                  // its duration
    EXPECT_EQ(results.at(key).at("number"), random.Uniform()) << key;  // as one process would give
  }
  track::Store store = track::Store::Open(folder, track::Store::Mode::kRead);
  const track::JobCounts counts = store.CountJobs("r1", "evolve");
  EXPECT_EQ(counts.done, kJobs);
  EXPECT_EQ(counts.open + counts.leased, 0);
  EXPECT_EQ(store.CountUnits("r1", "evolve"), kJobs);
}

TEST(Fleet, DoesAllJobsOnceThoughWorkersAndCoordinatorsAreKilled) {
  const track::TestFolder folder;
  Random random(7, "fleet test");
  int killed_workers = 0;
  for (int session = 0; session < 3; ++session) {
    const pid_t coordinator = StartCoordinator(folder.path(), 4);
    for (int kill_number = 0; kill_number < 5; ++kill_number) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20 + random.Below(60)));
      const std::vector<pid_t> workers = WorkersIn(folder.path());
      if (workers.empty()) continue;
      const pid_t victim = workers[random.Below(static_cast<std::uint32_t>(workers.size()))];
      killed_workers += kill(victim, SIGKILL) == 0;
    }
    kill(coordinator, SIGKILL);
    waitpid(coordinator, nullptr, 0);
  }
  EXPECT_EQ(ExitCode(StartCoordinator(folder.path(), 4)), 0) << LogOf(folder.path());
  EXPECT_GT(killed_workers, 3);
  ExpectAllDoneOnce(folder.path());
}

TEST(Fleet, GoesOnWithWorkersThatOutliveTheirCoordinator) {
  const track::TestFolder folder;
  std::vector<pid_t> workers;
  for (int i = 0; i < 2; ++i)
    workers.push_back(Start({FORGE_FLEET, "work", folder.path().string()}, folder.path() / "log"));
  const pid_t first = StartCoordinator(folder.path(), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  kill(first, SIGKILL);
  waitpid(first, nullptr, 0);
  EXPECT_EQ(ExitCode(StartCoordinator(folder.path(), 0)), 0) << LogOf(folder.path());
  for (const pid_t worker : workers) EXPECT_EQ(ExitCode(worker), 0) << LogOf(folder.path());  // told to stop
  ExpectAllDoneOnce(folder.path());
}

}  // namespace
}  // namespace forge::jobs
