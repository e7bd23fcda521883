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
#include "jobs/messages.h"
#include "jobs/rank_messages.h"
#include "track/process_id.h"
#include "track/store.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;

constexpr int kJobs = 600;

/// A child process that does not outlive the object.
class Process {
 public:
  /// What it prints is added to `output`.
  Process(std::vector<std::string> command, const fs::path& output) {
    std::vector<char*> arguments;
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ != 0) return;
    if (!std::freopen(output.c_str(), "a", stderr) || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(126);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  ~Process() { Kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Kill() {
    if (process_ == 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    process_ = 0;
  }
  /// Waits for its end; the exit code, -1 if it did not end by itself in a minute.
  int ExitCode() {
    for (int i = 0; i < 12'000; ++i) {
      int status = 0;
      if (waitpid(process_, &status, WNOHANG) == process_) {
        process_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    Kill();
    return -1;
  }

 private:
  pid_t process_ = 0;
};

std::vector<std::string> CoordinatorCommand(const fs::path& folder, int workers) {
  return {FORGE_FLEET, "coordinate", folder.string(), std::to_string(kJobs), std::to_string(workers)};
}

std::string LogOf(const fs::path& folder) {
  std::ifstream file(folder / "log");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Process ids of the workers that have joined and live.
std::vector<pid_t> WorkersIn(const fs::path& folder) {
  std::vector<pid_t> processes;
  std::error_code error;
  for (fs::directory_iterator entry(folder / "workers", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<std::string> text = ReadMessageFile(entry->path() / kHelloFile);
    if (!text) continue;
    const auto hello = std::get<Hello>(ParseFromWorker(*text, "hello"));
    if (track::LivenessOf(hello.process) == track::Liveness::kAlive)
      processes.push_back(static_cast<pid_t>(hello.pid));
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

class Fleet : public ::testing::Test {
 protected:
  fs::path path() const { return folder_.path(); }
  fs::path log() const { return path() / "log"; }
  std::int64_t Done() const {
    if (!fs::exists(path() / "forge.db")) return 0;
    std::optional<track::Store> store = track::Store::OpenIfAny(path());
    return store && !store->Runs().empty() ? store->CountJobs("r1", "evolve").done : 0;
  }
  /// Waits for so many more results; false after a minute.
  bool WaitForMore(int results) const {
    const std::int64_t wanted = Done() + results;
    for (int i = 0; i < 6000; ++i) {
      if (Done() >= wanted) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  const track::TestFolder folder_;
};

TEST_F(Fleet, DoesAllJobsOnceThoughWorkersAndCoordinatorsAreKilled) {
  Random random(7, "fleet test");
  int killed_workers = 0;
  for (int session = 0; session < 3; ++session) {
    Process coordinator(CoordinatorCommand(path(), 4), log());
    for (int death = 0; death < 5; ++death) {
      ASSERT_TRUE(WaitForMore(1 + static_cast<int>(random.Below(20)))) << LogOf(path());
      const std::vector<pid_t> workers = WorkersIn(path());
      if (workers.empty()) continue;
      const pid_t victim = workers[random.Below(static_cast<std::uint32_t>(workers.size()))];
      killed_workers += kill(victim, SIGKILL) == 0;
    }
    coordinator.Kill();
  }
  EXPECT_LT(Done(), kJobs);
  EXPECT_EQ(Process(CoordinatorCommand(path(), 4), log()).ExitCode(), 0) << LogOf(path());
  EXPECT_GT(killed_workers, 10);
  ExpectAllDoneOnce(path());
}

TEST_F(Fleet, GoesOnWithWorkersThatOutliveTheirCoordinator) {
  const std::vector<std::string> work{FORGE_FLEET, "work", path().string()};
  Process one(work, log()), another(work, log()), first(CoordinatorCommand(path(), 0), log());
  ASSERT_TRUE(WaitForMore(20)) << LogOf(path());
  first.Kill();
  EXPECT_EQ(Process(CoordinatorCommand(path(), 0), log()).ExitCode(), 0) << LogOf(path());
  EXPECT_EQ(one.ExitCode(), 0) << LogOf(path());  // told to stop
  EXPECT_EQ(another.ExitCode(), 0) << LogOf(path());
  ExpectAllDoneOnce(path());
}

TEST_F(Fleet, WorksAsRanksOfMpirun) {
  if (!fs::exists(fs::path(FORGE_FLEET).parent_path() / "libforge_mpi.so"))
    GTEST_SKIP() << "this build has no MPI";
  if (std::system("command -v mpirun >/dev/null") != 0) GTEST_SKIP() << "mpirun is not installed";
  // Twice: a rank of the first mpirun is killed, which ends it, and another takes its place.
  const std::vector<std::string> command{"mpirun", "--allow-run-as-root", "--oversubscribe", "-n",
                                         "3",      FORGE_FLEET,           "work-mpi",        path().string()};
  Process first(command, log()), coordinator(CoordinatorCommand(path(), 0), log());
  ASSERT_TRUE(WaitForMore(20)) << LogOf(path());
  const std::vector<pid_t> ranks = WorkersIn(path());
  ASSERT_EQ(ranks.size(), 2u);
  kill(ranks[0], SIGKILL);
  EXPECT_NE(first.ExitCode(), 0);
  Process second(command, log());
  EXPECT_EQ(coordinator.ExitCode(), 0) << LogOf(path());
  EXPECT_EQ(second.ExitCode(), 0) << LogOf(path());
  ExpectAllDoneOnce(path());
}

}  // namespace
}  // namespace forge::jobs
