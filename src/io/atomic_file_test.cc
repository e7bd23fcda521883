// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/philox.h"

namespace forge::io {
namespace {

class AtomicFileTest : public ::testing::Test {
 protected:
  AtomicFileTest() { std::filesystem::create_directories(folder_); }
  ~AtomicFileTest() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("atomic_file_" + std::to_string(getpid()));
};

TEST_F(AtomicFileTest, WritesOfAllSizesStandOneAfterTheOther) {
  Random random(3, "bytes");
  for (int round = 0; round < 6; ++round) {
    std::string expected;
    AtomicFile file(folder_ / "file");
    for (int i = 0; i < 40; ++i) {
      // Small ones, some about 2 MiB and one of several.
      const std::size_t size = i == round * 5 ? (5 << 20) + random.Below(3 << 20)
                               : i % 10 == 3  ? (2 << 20) - 2 + random.Below(4)
                                              : random.Below(3000);
      std::string piece(size, static_cast<char>('a' + i % 26));
      if (!piece.empty()) piece.back() = static_cast<char>(i);
      file.Write(piece);
      expected += piece;
      EXPECT_EQ(file.size(), expected.size());
    }
    EXPECT_EQ(std::filesystem::exists(folder_ / "file"), round > 0);
    round % 2 == 0 ? file.Commit() : file.CommitUnsynced();
    EXPECT_TRUE(ReadFile(folder_ / "file") == expected) << round;
  }
}

TEST_F(AtomicFileTest, WithoutCommitNothingIsLeft) {
  {
    AtomicFile file(folder_ / "file");
    file.Write(std::string(5 << 20, 'x'));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace forge::io
