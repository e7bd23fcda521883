// SPDX-License-Identifier: Apache-2.0
// Coordinator and workers on a file system that is full: each says so and ends, and once there is room the
// search goes on from what was done.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>

#include "base/error.h"
#include "jobs/coordinator.h"
#include "jobs/mailbox_coordinator.h"
#include "jobs/mailbox_worker.h"
#include "jobs/worker_loop.h"
#include "small_disk.h"
#include "track/test_folder.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kJobs = 12;
const Identity kIdentity{.version = "1", .inputs = "abc"};

class JobsOnAFullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string problem = forge::testing::EnterMountNamespace();
    fs::create_directories(disk());
    if (problem.empty() && mount("none", disk().c_str(), "tmpfs", 0, "size=8m") != 0)
      problem = std::strerror(errno);
    if (!problem.empty()) GTEST_SKIP() << "cannot mount a tmpfs here: " << problem;
  }
  void TearDown() override { umount(disk().c_str()); }
  fs::path disk() const { return folder_.path() / "disk"; }
  fs::path workers() const { return disk() / "workers"; }
  /// Takes the last free byte, or gives it back.
  void Fill() const {
    std::ofstream file(disk() / "filler");
    const std::string block(4096, 'x');
    while (file << block << std::flush) {
    }
  }
  void Free() const { fs::remove(disk() / "filler"); }

  /// One worker and one coordinator in turns, until all jobs are done; the disk is full after
  /// `jobs_until_full`.
  void Search(int jobs_until_full) {
    track::Store store = track::Store::Open(disk(), track::Store::Mode::kWrite);
    if (!store.FindRun("r1")) store.CreateRun({.id = "r1"});
    MailboxCoordinatorPort port(workers());
    worker_.emplace(workers(), NewWorkerName(), [](double) {});
    worker_->Send(HelloOfThisProcess(kIdentity, 1));
    const auto work = [&] {
      const std::optional<ToWorker> message = worker_->Receive(0);
      if (!message || !std::holds_alternative<Job>(*message)) return;
      const Job& job = std::get<Job>(*message);
      if (jobs_until_full-- == 0) Fill();
      worker_->Send(Result{job.key, {{"text", std::string(20'000, job.key.back())}}, 1});
    };
    Coordinator coordinator(
        port, store,
        {.identity = kIdentity, .run = "r1", .stage = "evolve", .tend = work, .wait = [](double) {}});
    for (int job = 0; job < kJobs; ++job)
      coordinator.Submit({fmt::format("job {}", job), io::Json::object()});
    while (coordinator.UnderWay() > 0) {
      const JobResult result = coordinator.Next();
      EXPECT_EQ(result.value.at("text"), std::string(20'000, result.key.back()));
    }
  }

  const track::TestFolder folder_;
  std::optional<MailboxWorkerPort> worker_;
};

TEST_F(JobsOnAFullDisk, EndWithItsNameAndGoOnWhenThereIsRoom) {
  for (const int jobs : {0, 1, 5}) {
    try {
      Search(jobs);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
      EXPECT_THAT(error.fields().what, HasSubstr(disk().string()));
      EXPECT_THAT(error.fields().why, ::testing::AnyOf("the disk is full", "No space left on device"));
      EXPECT_THAT(error.fields().fix, HasSubstr("free some disk space"));
    }
    Free();
    worker_->Send(Goodbye{});
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(disk()))
      EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
  Search(-1);
  track::Store store = track::Store::Open(disk(), track::Store::Mode::kRead);
  EXPECT_EQ(store.CountJobs("r1", "evolve").done, kJobs);
  EXPECT_EQ(store.CountUnits("r1", "evolve"), kJobs);
}

TEST_F(JobsOnAFullDisk, CannotBeBegunThere) {
  Fill();
  EXPECT_THROW(MailboxCoordinatorPort{workers()}, Error);
  EXPECT_THROW(
      {
        MailboxWorkerPort worker(workers(), "w1");
        worker.Send(HelloOfThisProcess(kIdentity, 1));
      },
      Error);
}

}  // namespace
}  // namespace forge::jobs
