// SPDX-License-Identifier: Apache-2.0
#include "jobs/local_workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "io/atomic_file.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Tends until the condition holds; false after ten seconds.
template <class Condition>
bool TendUntil(LocalWorkers& workers, Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    workers.Tend();
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

bool IsThere(pid_t process) { return kill(process, 0) == 0; }

TEST(LocalWorkers, EndWithTheirOwner) {
  std::vector<pid_t> processes;
  {
    const LocalWorkers workers({.command = {"sleep", "100"}, .count = 3});
    EXPECT_EQ(workers.running(), 3);
    processes = workers.processes();
    EXPECT_THAT(processes, SizeIs(3));
    for (const pid_t process : processes) EXPECT_TRUE(IsThere(process));
    workers.ThrowIfNoneIsLeft();
  }
  for (const pid_t process : processes) EXPECT_FALSE(IsThere(process));  // reaped too
}

TEST(LocalWorkers, AreKilledWhenTheyDoNotEndOnRequest) {
  pid_t process = 0;
  {
    const LocalWorkers workers(
        {.command = {"sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"}, .end_seconds = 0.2});
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    process = workers.processes().at(0);
  }
  EXPECT_FALSE(IsThere(process));
}

TEST(LocalWorkers, AreStartedAgainAfterASignalButNotWithoutEnd) {
  std::vector<std::string> log;
  LocalWorkers workers({.command = {"sh", "-c", "kill -SEGV $$"},
                        .most_restarts = 2,
                        .log = [&](const std::string& line) { log.push_back(line); }});
  EXPECT_TRUE(TendUntil(workers, [&] { return workers.running() == 0; }));
  EXPECT_THAT(log, ElementsAre(HasSubstr("signal 11"), HasSubstr("another one is started"),
                               HasSubstr("after 2 restarts in a row")));
  EXPECT_THAT(workers.last_end(), HasSubstr("was killed by signal 11 (Segmentation fault)"));
}

TEST(LocalWorkers, MayDieAgainAndAgainIfTheyLiveLongEnoughBetween) {
  double now = 0;
  LocalWorkers workers({.command = {"sleep", "100"}, .most_restarts = 1, .clock = [&] { return now; }});
  for (int death = 0; death < 3; ++death) {
    const pid_t process = workers.processes().at(0);
    now += 61;
    kill(process, SIGKILL);
    EXPECT_TRUE(TendUntil(workers, [&] { return workers.processes() != std::vector<pid_t>{process}; }));
    ASSERT_EQ(workers.running(), 1);
  }
}

TEST(LocalWorkers, AreNotStartedAgainWhenTheyEndByThemselves) {
  const track::TestFolder folder;
  LocalWorkers workers({.command = {"sh", "-c", "echo why; exit 3"}, .output = folder.path() / "log"});
  EXPECT_TRUE(TendUntil(workers, [&] { return workers.running() == 0; }));
  EXPECT_THAT(workers.last_end(), HasSubstr("ended with exit code 3"));
  try {
    workers.ThrowIfNoneIsLeft();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.fields().why, HasSubstr("exit code 3"));
    EXPECT_THAT(error.fields().fix, HasSubstr("/log"));
  }
  EXPECT_EQ(io::ReadFile(folder.path() / "log"), "why\n");
}

TEST(LocalWorkers, ThatCannotBeStartedAreAnError) {
  try {
    const LocalWorkers workers({.command = {"/nowhere/forge"}, .count = 2});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    EXPECT_THAT(error.fields().what, HasSubstr("/nowhere/forge"));
    EXPECT_THAT(error.fields().why, HasSubstr("No such file"));
  }
}

TEST(LocalWorkers, DieWithAnOwnerThatIsKilled) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that the orphan becomes our child and its end can be waited for
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t owner = fork();
  if (owner == 0) {
    const LocalWorkers workers({.command = {"sleep", "100"}});
    const pid_t process = workers.processes().at(0);
    [[maybe_unused]] const ssize_t written = write(ends[1], &process, sizeof process);
    for (;;) pause();
  }
  pid_t worker = 0;
  ASSERT_EQ(read(ends[0], &worker, sizeof worker), static_cast<ssize_t>(sizeof worker));
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  int status = 0;
  EXPECT_EQ(waitpid(worker, &status, 0), worker);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace forge::jobs
