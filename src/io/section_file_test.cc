// SPDX-License-Identifier: Apache-2.0
#include "io/section_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/sha256.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The offsets of docs/format.md, by hand.
constexpr std::size_t kFileBytes = 16, kMetadata = 24, kMetadataBytes = 32, kTable = 40, kSections = 48,
                      kData = 56;

class SectionFiles : public ::testing::Test {
 protected:
  SectionFiles() {
    WriteSectionFile(
        path_, {{"forge.config", std::string("{}")}, {"n", std::uint32_t{7}}},
        std::vector<Section>{{.name = "first",
                              .format = 5,
                              .rows = 2,
                              .columns = 3,
                              .block = 32,
                              .group = 64,
                              .bytes = std::as_bytes(std::span(a_))},
                             {.name = "layers.0.second", .bytes = std::as_bytes(std::span(b_))}});
    bytes_ = ReadFile(path_);
    std::memcpy(&table_, bytes_.data() + kTable, 8);
    std::memcpy(&data_, bytes_.data() + kData, 8);
  }
  ~SectionFiles() override { fs::remove(path_); }

  template <class T>
  static void Put(std::string& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof(T));
  }
  static void PutSum(std::string& bytes, std::size_t at, std::size_t begin, std::size_t size) {
    const auto sum = Sha256Bytes(std::as_bytes(std::span(bytes)).subspan(begin, size));
    std::memcpy(bytes.data() + at, sum.data(), sum.size());
  }
  /// The checksums of metadata, table and header made right again, so that what they hold is read.
  void Seal(std::string& bytes) const {
    std::uint64_t metadata = 0;
    std::memcpy(&metadata, bytes_.data() + kMetadataBytes, 8);
    PutSum(bytes, 64, 160, metadata);
    PutSum(bytes, 96, table_, 288);
    PutSum(bytes, 128, 0, 128);
  }
  /// What is said about the file after a change; empty if it opens and verifies.
  std::string Open(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      SectionFile(path_).VerifyAll();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      EXPECT_THAT(error.fields().what, HasSubstr(path_.string()));
      return error.fields().why;
    }
    return "";
  }
  template <class T>
  std::string OpenWith(std::size_t at, T value) const {
    std::string bytes = bytes_;
    Put(bytes, at, value);
    Seal(bytes);
    return Open(bytes);
  }

  fs::path path_ = fs::temp_directory_path() / ("forge-sections-" + std::to_string(getpid()));
  std::vector<std::uint8_t> a_ = std::vector<std::uint8_t>(100, 1), b_ = std::vector<std::uint8_t>(64, 2);
  std::string bytes_;
  std::uint64_t table_ = 0, data_ = 0;
};

TEST_F(SectionFiles, LieAsTheFormatSays) {
  // 160 of header and 8 + (8 + 12 + 4 + 8 + 2) + (8 + 1 + 4 + 4) = 59 of metadata, to the next 64; 2 x 144 of
  // table, to the next 4096; 100 and, at the next 64, 64 bytes.
  EXPECT_EQ(table_, 256u);
  EXPECT_EQ(data_, 4096u);
  EXPECT_EQ(bytes_.size(), 4096u + 128 + 64);
  EXPECT_EQ(bytes_.substr(0, 16), std::string("\x89"
                                              "FORGE\r\n\1\0\0\0\xa0\0\0\0",
                                              16));
  EXPECT_EQ(bytes_.substr(256, 6), std::string("first\0", 6));
  EXPECT_EQ(bytes_[4096 + 99], 1);
  EXPECT_EQ(bytes_[4096 + 100], 0);
  EXPECT_EQ(bytes_[4096 + 128], 2);
}

TEST_F(SectionFiles, ComeBackAsTheyWere) {
  ASSERT_TRUE(SectionFile::Is(path_));
  const SectionFile file(path_);
  EXPECT_EQ(*FindText(file.metadata(), "forge.config"), "{}");
  EXPECT_EQ(FindInteger(file.metadata(), "n"), 7);
  ASSERT_EQ(file.sections().size(), 2u);
  const Section& first = *file.Find("first");
  EXPECT_EQ(first.format, 5u);
  EXPECT_EQ(first.rows, 2u);
  EXPECT_EQ(first.columns, 3u);
  EXPECT_EQ(first.block, 32u);
  EXPECT_EQ(first.group, 64u);
  ASSERT_EQ(first.bytes.size(), 100u);
  EXPECT_EQ(std::memcmp(first.bytes.data(), a_.data(), 100), 0);
  EXPECT_EQ(file.OffsetOf(*file.Find("layers.0.second")), 4096u + 128);
  EXPECT_EQ(file.Find("third"), nullptr);
  EXPECT_EQ(Open(bytes_), "");
}

TEST_F(SectionFiles, AreRefusedAtEveryLengthThatIsTooShortOrTooLong) {
  for (std::size_t size = 0; size < bytes_.size(); size += size < 600 ? 1 : 61)
    EXPECT_NE(Open(bytes_.substr(0, size)), "") << size;
  EXPECT_THAT(Open(bytes_ + std::string(1, '\0')), HasSubstr("at offset 16: it was written with 4288"));
  EXPECT_THAT(Open(bytes_.substr(0, 100)), HasSubstr("the header takes 160 bytes"));
}

TEST_F(SectionFiles, AreRefusedWithAnyBitFlipped) {
  for (std::size_t at = 0; at < bytes_.size(); ++at) {
    std::string bytes = bytes_;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    EXPECT_NE(Open(bytes), "") << at;
  }
}

TEST_F(SectionFiles, AreRefusedWithAnyFieldOfTheHeaderWrong) {
  EXPECT_THAT(OpenWith(0, 'X'), HasSubstr("does not begin as a packed file"));
  EXPECT_THAT(OpenWith(8, std::uint32_t{2}), HasSubstr("at offset 8: it has version 2; this forge reads 1"));
  EXPECT_THAT(OpenWith(12, std::uint32_t{161}), HasSubstr("at offset 12: the size of the header is 161"));
  EXPECT_THAT(OpenWith(kFileBytes, std::uint64_t{5}), HasSubstr("at offset 16: it was written with 5 bytes"));
  EXPECT_THAT(OpenWith(kMetadata, std::uint64_t{161}), HasSubstr("at offset 24: the offset of the metadata"));
  EXPECT_THAT(OpenWith(kMetadataBytes, ~std::uint64_t{0}),
              HasSubstr("at offset 32: 18446744073709551615 bytes"));
  EXPECT_THAT(OpenWith(kMetadataBytes, std::uint64_t{120}), HasSubstr("at offset 40"));  // the table moves
  EXPECT_THAT(OpenWith(kTable, std::uint64_t{320}),
              HasSubstr("at offset 40: the offset of the table is 320"));
  EXPECT_THAT(OpenWith(kSections, std::uint64_t{1} << 60), HasSubstr("at offset 48"));
  EXPECT_THAT(OpenWith(kSections, std::uint64_t{1}), HasSubstr("the table do not have the SHA-256"));
  EXPECT_THAT(OpenWith(kData, std::uint64_t{8192}),
              HasSubstr("at offset 56: the offset of the first section"));
}

TEST_F(SectionFiles, AreRefusedWithAnyFieldOfAnEntryWrong) {
  EXPECT_THAT(OpenWith(table_, '\0'), HasSubstr("at offset 256: a name of a section"));
  EXPECT_THAT(OpenWith(table_ + 7, 'x'), HasSubstr("at offset 256: a name of a section"));
  EXPECT_THAT(OpenWith(table_ + 60, 1), HasSubstr("at offset 316: a field that must be 0"));
  EXPECT_THAT(OpenWith(table_ + 96, std::uint64_t{4097}), HasSubstr("section first is at 4097, not at 4096"));
  EXPECT_THAT(OpenWith(table_ + 104, std::uint64_t{0}), HasSubstr("section first has 0 bytes"));
  EXPECT_THAT(OpenWith(table_ + 104, ~std::uint64_t{0} - 64), HasSubstr("the file has 4288"));
  EXPECT_THAT(OpenWith(table_ + 104, std::uint64_t{30}),
              HasSubstr("layers.0.second is at 4224, not at 4160"));
  EXPECT_THAT(OpenWith(table_ + 144 + 104, std::uint64_t{63}), HasSubstr("1 bytes behind the last section"));
  EXPECT_THAT(OpenWith(table_ + 112, ~bytes_[table_ + 112]),
              HasSubstr("at offset 4096: the 100 bytes of section first"));
  std::string twice = bytes_;
  twice.replace(table_ + 144, 56, twice.substr(table_, 56));
  Seal(twice);
  EXPECT_THAT(Open(twice), HasSubstr("section first occurs twice"));
}

TEST_F(SectionFiles, OpenWithoutReadingTheSectionsAndVerifyEachByItself) {
  bytes_[data_] = 9;
  std::ofstream(path_, std::ios::binary) << bytes_;
  const SectionFile file(path_);
  file.Verify(*file.Find("layers.0.second"));
  EXPECT_THROW(file.Verify(*file.Find("first")), Error);
}

}  // namespace
}  // namespace forge::io
