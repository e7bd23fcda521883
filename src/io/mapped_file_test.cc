// SPDX-License-Identifier: Apache-2.0
#include "io/mapped_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"

namespace forge::io {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(path_) << std::string(100'000, 'x'); }
  void TearDown() override { std::filesystem::remove(path_); }
  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("forge-mapped-" + std::to_string(getpid()));
};

using MappedFileDeathTest = MappedFileTest;

TEST_F(MappedFileDeathTest, SaysWhichFileBecameShorterInsteadOfDyingInSilence) {
  const auto touch = [&] {
    MappedFile moved = [&] { return MappedFile(path_); }();
    std::filesystem::resize_file(path_, 10);
    const volatile std::byte last = moved.bytes()[99'999];
    static_cast<void>(last);
  };
  EXPECT_EXIT(touch(), testing::ExitedWithCode(static_cast<int>(ErrorKind::kInput)),
              "cannot go on reading .*forge-mapped-.*became shorter");
}

TEST_F(MappedFileDeathTest, LeavesOtherBusErrorsAsTheyWere) {
  const auto raise_after = [&] {
    { const MappedFile file(path_); }
    raise(SIGBUS);
    raise(SIGBUS);  // the first one only takes the handler away
  };
  EXPECT_EXIT(raise_after(), testing::KilledBySignal(SIGBUS), "");
}

TEST_F(MappedFileTest, AFileThatWasDeletedStaysReadable) {
  const MappedFile file(path_);
  std::filesystem::remove(path_);
  EXPECT_EQ(file.bytes()[99'999], std::byte{'x'});
}

}  // namespace
}  // namespace forge::io
