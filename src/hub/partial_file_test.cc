// SPDX-License-Identifier: Apache-2.0
#include "hub/partial_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "hub/file_lock.h"
#include "io/atomic_file.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

class PartialFileTest : public ::testing::Test {
 protected:
  ~PartialFileTest() override { fs::remove(path_); }
  static std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
  fs::path path_ = fs::temp_directory_path() / ("forge-partial-" + std::to_string(getpid()));
};

TEST_F(PartialFileTest, RemembersWhatHasCome) {
  {
    PartialFile file(path_, 10, 4);  // 0123 4567 89
    ASSERT_EQ(file.num_segments(), 3u);
    EXPECT_EQ(file.length(2), 2u);
    file.Write(2, Bytes("89"));
    file.Write(0, Bytes("01"));
    EXPECT_EQ(file.done_bytes(), 4u);
  }
  {
    PartialFile file(path_, 10, 1000);  // the ranges of before hold
    ASSERT_EQ(file.num_segments(), 3u);
    EXPECT_EQ(file.done(0), 2u);
    EXPECT_EQ(file.done(1), 0u);
    EXPECT_EQ(file.done(2), 2u);
    file.Write(0, Bytes("23"));
    file.Write(1, Bytes("4567"));
    file.Finish();
  }
  EXPECT_EQ(io::ReadFile(path_), "0123456789");
}

TEST_F(PartialFileTest, KeepsEveryMebibyteOverAKill) {
  const std::string piece(1 << 20, 'x');
  const pid_t child = fork();
  if (child == 0) {
    PartialFile file(path_, 10 << 20, 10 << 20);
    file.Write(0, Bytes(piece));
    file.Write(0, Bytes(piece));
    file.Write(0, Bytes("few"));
    _exit(0);  // no destructor runs, as after SIGKILL
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(PartialFile(path_, 10 << 20, 1).done_bytes(), 2u << 20);
}

TEST_F(PartialFileTest, StartsAnewWhenTheNotesDoNotFit) {
  const auto begun = [&] {
    PartialFile file(path_, 10, 4);
    file.Write(0, Bytes("0123"));
  };
  begun();
  EXPECT_EQ(PartialFile(path_, 11, 4).done_bytes(), 0u) << "another length";
  begun();
  EXPECT_EQ(PartialFile(path_, 10, 4).done_bytes(), 4u);
  std::string text = io::ReadFile(path_);
  const std::string whole = text;
  for (const std::size_t cut :
       {std::size_t{0}, std::size_t{5}, std::size_t{10}, std::size_t{25}, whole.size() - 1}) {
    io::WriteFileAtomically(path_, whole.substr(0, cut));
    EXPECT_EQ(PartialFile(path_, 10, 4).done_bytes(), 0u) << cut;
  }
  text[10] = 'F';  // the magic
  io::WriteFileAtomically(path_, text);
  EXPECT_EQ(PartialFile(path_, 10, 4).done_bytes(), 0u);
  text = whole;
  text[30] = 5;  // the first segment has 4 bytes
  io::WriteFileAtomically(path_, text);
  EXPECT_EQ(PartialFile(path_, 10, 4).done_bytes(), 0u);
  text = whole;
  text.replace(22, 8, 8, '\0');  // segments of no bytes
  io::WriteFileAtomically(path_, text);
  EXPECT_EQ(PartialFile(path_, 10, 4).done_bytes(), 0u);
}

TEST_F(PartialFileTest, HoldsNothingOfAnEmptyFile) {
  {
    PartialFile file(path_, 0, 4);
    EXPECT_EQ(file.num_segments(), 0u);
    file.Finish();
  }
  EXPECT_EQ(io::ReadFile(path_), "");
}

TEST_F(PartialFileTest, SaysThatTheDiskIsFull) {
  try {
    PartialFile file("/dev/full", 10, 4);
    ADD_FAILURE() << "it wrote to /dev/full";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
  }
}

TEST(FileLock, IsHeldByOneAtATime) {
  const fs::path folder = fs::temp_directory_path() / ("forge-file-lock-" + std::to_string(getpid()));
  const StopToken never;
  StopToken stopped;
  stopped.RequestStop();
  {
    const FileLock lock(folder / "deep/a.lock", never);
    EXPECT_THROW(FileLock(folder / "deep/a.lock", stopped), Error) << "it would wait; the stop ends that";
    const FileLock other(folder / "deep/b.lock", never);
  }
  const FileLock again(folder / "deep/a.lock", stopped);  // free: no need to wait
  fs::remove(folder / "deep/a.lock");                     // as another program may, after it let go
  const FileLock anew(folder / "deep/a.lock", never);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace forge::hub
