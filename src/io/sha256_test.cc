// SPDX-License-Identifier: Apache-2.0
#include "io/sha256.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "io/atomic_file.h"

namespace forge::io {
namespace {

// FIPS 180-4: the examples of NIST, and a million times "a".
TEST(Sha256, MatchesThePublishedDigests) {
  const auto digest = [](std::string_view text) { return Sha256(std::as_bytes(std::span(text))); };
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfAFileIsThatOfItsBytesAlsoBeyondOnePiece) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("forge_sha256_" + std::to_string(getpid()));
  for (const std::size_t size : {0u, 5u, 8u << 20, (16u << 20) + 3}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 24);
    WriteFileAtomically(path, text);
    EXPECT_EQ(Sha256OfFile(path), Sha256(std::as_bytes(std::span(text)))) << size;
  }
  std::filesystem::remove(path);
}

// git hash-object of an empty file and of "hello\n" (git 2.39).
TEST(GitBlobId, IsWhatGitGives) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("forge_blob_id_" + std::to_string(getpid()));
  WriteFileAtomically(path, "");
  EXPECT_EQ(GitBlobIdOfFile(path), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  WriteFileAtomically(path, "hello\n");
  EXPECT_EQ(GitBlobIdOfFile(path), "ce013625030ba8dba906f756967f9e9ca394464a");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace forge::io
