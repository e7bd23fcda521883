// SPDX-License-Identifier: Apache-2.0
// Runs on a file system that fills up: a small tmpfs in a mount namespace of this process. Where the system
// does not allow that, the tests are skipped by name.
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <regex>
#include <set>

#include "cli_fixture.h"
#include "small_disk.h"

namespace forge {
namespace {

namespace fs = std::filesystem;
using io::Json;
using testing::EnterMountNamespace;
using testing::Outcome;

/// Without the training engine a run neither teaches nor trains; what it writes is watched all the same.
constexpr const char* kTrainingSteps = FORGE_CAN_TRAIN ? "2" : "0";

class FullDisk : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    std::string problem = EnterMountNamespace();
    fs::create_directories(disk());
    if (problem.empty() && mount("none", disk().c_str(), "tmpfs", 0, "size=64m") != 0)
      problem = std::strerror(errno);
    if (!problem.empty()) GTEST_SKIP() << "cannot mount a tmpfs here: " << problem;
    models_ = MakeModel("a", 256, 1000, 1) + "," + MakeModel("b", 256, 1000, 2);
  }
  void TearDown() override {
    umount(disk().c_str());
    Cli::TearDown();
  }

  fs::path disk() const { return folder_ / "disk"; }
  std::string output() const { return (disk() / "output").string(); }

  void Resize(std::uint64_t bytes, unsigned long flags = 0) const {
    const std::string options = "size=" + std::to_string(bytes);
    ASSERT_EQ(mount("none", disk().c_str(), "tmpfs", MS_REMOUNT | flags, options.c_str()), 0)
        << std::strerror(errno);
  }
  void Clear() const {
    for (const fs::directory_entry& entry : fs::directory_iterator(disk())) fs::remove_all(entry.path());
  }
  std::uint64_t UsedBytes() const {
    struct statvfs space {};
    statvfs(disk().c_str(), &space);
    return (space.f_blocks - space.f_bfree) * space.f_frsize;
  }
  /// Takes the last free byte.
  void Fill() const {
    std::ofstream file(disk() / "filler");
    const std::string block(4096, 'x');
    while (file << block << std::flush) {
    }
  }

  Outcome RunPipeline(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"run-pipeline", "--output-dir", output()};
    if (!FORGE_CAN_TRAIN) arguments.push_back("--no-quietstar");
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments, "", 300);
  }
  Outcome NewRun() const {
    return RunPipeline({"--seed", "7", "--base-models", models_, "--generations", "1", "--search-items", "2",
                        "--selection-items", "2", "--test-items", "4", "--eval-samples", "10",
                        "--calibration-samples", "4", "--compress-steps", kTrainingSteps});
  }

  Json Status() const {
    const Outcome outcome = Run({"status", "--output-dir", output(), "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }

  /// Nothing of a run lies in the output folder.
  bool IsWithoutRuns() const {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(disk()))
      if (entry.path().filename().string().starts_with("run-")) return false;
    return true;
  }

  /// All that must have the same bytes, by name; and every model file can be read.
  std::map<std::string, std::string> Results() const {
    std::map<std::string, std::string> results;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(disk())) {
      if (!entry.is_regular_file()) continue;
      const std::string path = entry.path().string(), name = entry.path().filename().string();
      EXPECT_FALSE(std::regex_search(path, std::regex("\\.(tmp|partial|probe)"))) << path;
      const bool is_model = path.ends_with(".safetensors") || path.ends_with(".gguf");
      if (is_model && name != "training.safetensors") {
        EXPECT_EQ(Run({"inspect", path.ends_with(".gguf") ? path : entry.path().parent_path().string()}).code,
                  0)
            << path;
      }
      const std::string key = std::regex_replace(path, std::regex(".*/run-[-0-9]+/"), "");
      if (is_model || name == "config.json") results[key] = io::ReadFile(path);
      if (name == "report.json") {
        Json report = io::ReadJsonFile(path);
        for (const char* changes : {"seconds", "run", "final_model", "command"}) report.erase(changes);
        results[key] = report.dump();
      }
    }
    return results;
  }

  std::string models_;
};

TEST_F(FullDisk, StopsARunCleanlyAndItResumesToTheSameBytes) {
  const Outcome unbroken = NewRun();
  ASSERT_EQ(unbroken.code, 0) << unbroken.err;
  const std::map<std::string, std::string> expected = Results();
  // Model folders with their configs, the GGUF file, the report.
  ASSERT_GE(expected.size(), FORGE_CAN_TRAIN ? 6u : 4u);
  const std::uint64_t needed = UsedBytes();

  std::vector<std::uint64_t> sizes{4096, 16384, 102400, 118784, 122880, 131072, 147456};
  for (const int sixteenth : {3, 5, 9, 13, 15, 17, 19, 20, 21, 22, 23, 25})
    sizes.push_back(needed * static_cast<std::uint64_t>(sixteenth) / 16 / 4096 * 4096);
  std::set<std::string> not_written;
  for (const std::uint64_t size : sizes) {
    SCOPED_TRACE(::testing::Message() << size << " bytes, of " << needed);
    Clear();
    Resize(size);
    const Outcome outcome = NewRun();
    if (outcome.code == 0 && size > needed) continue;
    ASSERT_EQ(outcome.code, 4) << outcome.err;
    std::smatch name;
    ASSERT_TRUE(std::regex_search(
        outcome.err, name,
        std::regex("error: cannot .*(forge.db|config.json|unified_checkpoints|champion|baked|model.gguf)")))
        << outcome.err;
    not_written.insert(name[1]);
    EXPECT_TRUE(std::regex_search(outcome.err,
                                  std::regex("error: cannot .*\n  why: (the disk is full|No space left on "
                                             "device)\n  fix: free some disk space")))
        << outcome.err;
    Results();
    Fill();
    const Json runs = Status()["runs"];
    ASSERT_LE(runs.size(), 1u);
    fs::remove(disk() / "filler");

    Resize(64 << 20);
    Outcome second;
    if (runs.empty()) {
      EXPECT_EQ(outcome.err.find("--resume"), std::string::npos) << outcome.err;
      EXPECT_TRUE(IsWithoutRuns());
      second = NewRun();
    } else {
      EXPECT_NE(runs[0]["state"], "done");
      std::smatch handle;
      ASSERT_TRUE(std::regex_search(outcome.err, handle, std::regex("go on with --resume (\\S+)")))
          << outcome.err;
      second = RunPipeline({"--resume", handle[1]});
    }
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_EQ(Results(), expected);
  }
  // The champion takes the most room, so a size that stops a later stage needs the reasoning stage's
  // checkpoints.
  std::vector<const char*> places{"forge.db", "champion"};
  if (FORGE_CAN_TRAIN) places.insert(places.end(), {"baked", "model.gguf"});
  for (const char* name : places) EXPECT_EQ(not_written.count(name), 1u) << "no size failed at " << name;
}

TEST_F(FullDisk, CompressLeavesNoHalfOfItsOutput) {
  Resize(64 << 10);
  const Outcome outcome =
      Run({"compress", "--input-model", Path("a"), "--output-model", (disk() / "model.gguf").string(),
           "--output-dir", Path("output"), "--eval-samples", "4", "--calibration-samples", "4",
           "--training-steps", kTrainingSteps},
          "", 300);
  EXPECT_EQ(outcome.code, 4) << outcome.err;
  EXPECT_NE(outcome.err.find("No space left on device"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::is_empty(disk()));
}

TEST_F(FullDisk, ShowsTheRunsOfADiskThatCanOnlyBeRead) {
  ASSERT_EQ(NewRun().code, 0);
  Resize(64 << 20, MS_RDONLY);
  EXPECT_EQ(Status()["runs"][0]["state"], "done");
  const Outcome outcome = NewRun();
  EXPECT_EQ(outcome.code, 4);
  EXPECT_NE(outcome.err.find("\n  fix: "), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace forge
