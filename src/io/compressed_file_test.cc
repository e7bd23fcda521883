// SPDX-License-Identifier: Apache-2.0
#include "io/compressed_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::io {
namespace {

// printf 'one\ntwo\n' | gzip -n9 and | bzip2, as xxd -p prints them.
constexpr char kGzip[] = "1f8b0800000000000203cbcf4be52a29cfe70200e60bba1208000000";
constexpr char kBzip[] =
    "425a6839314159265359a7142b77000002c180001002018480200021800c"
    "0238f51b8bb9229c2848538a15bb80";

std::string Bytes(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

class CompressedFile : public ::testing::Test {
 protected:
  std::string Read(const std::string& name, const std::string& content, std::uint64_t most = 1000) {
    const auto path = std::filesystem::temp_directory_path() / (std::to_string(getpid()) + name);
    WriteFileAtomically(path, content);
    const struct Removal {
      std::filesystem::path path;
      ~Removal() { std::filesystem::remove(path); }
    } removal{path};
    return ReadMaybeCompressed(path, most);
  }
};

TEST_F(CompressedFile, IsUnpackedByTheEndOfItsName) {
  EXPECT_EQ(Read("a.txt", "one\n"), "one\n");
  EXPECT_EQ(Read("a.gz", Bytes(kGzip)), "one\ntwo\n");
  EXPECT_EQ(Read("a.bz2", Bytes(kBzip)), "one\ntwo\n");
}

TEST_F(CompressedFile, MayBeJoinedFromSeveral) {
  EXPECT_EQ(Read("a.gz", Bytes(kGzip) + Bytes(kGzip)), "one\ntwo\none\ntwo\n");
  EXPECT_EQ(Read("a.bz2", Bytes(kBzip) + Bytes(kBzip)), "one\ntwo\none\ntwo\n");
}

TEST_F(CompressedFile, IsRefusedWhenCutDamagedOrTooLong) {
  for (const char* name : {"a.gz", "a.bz2"}) {
    const std::string good = Bytes(name[2] == 'g' ? kGzip : kBzip);
    for (std::size_t size = 0; size < good.size(); ++size)
      EXPECT_THROW(Read(name, good.substr(0, size)), Error) << name << " " << size;
    EXPECT_THROW(Read(name, "no archive at all"), Error);
    EXPECT_THROW(Read(name, good, 7), Error);
    EXPECT_NO_THROW(Read(name, good, 8));
  }
}

}  // namespace
}  // namespace forge::io
