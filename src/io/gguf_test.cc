// SPDX-License-Identifier: Apache-2.0
#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/philox.h"

namespace forge::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Gguf : public ::testing::Test {
 protected:
  ~Gguf() override { std::filesystem::remove(path_); }

  /// Keys of every kind and two tensors, the first of 6 bytes, so that padding is needed.
  std::string WriteSample() {
    GgufWriter writer(path_, metadata_,
                      {{"half", {3}, BlockType::kF16}, {"blocks", {2, 64}, BlockType::kQ2_0}});
    std::vector<std::byte> half(6), blocks(36);
    EncodeBlocks(BlockType::kF16, std::vector<float>{1, 2, 3}, half);
    std::vector<float> values(128, 0.5f);
    values[64] = -0.5f;
    EncodeBlocks(BlockType::kQ2_0, values, blocks);
    writer.Write(half);
    writer.Write(std::span(blocks).first(5));  // in pieces
    writer.Write(std::span(blocks).subspan(5));
    writer.Finish();
    return ReadFile(path_);
  }
  std::string ErrorOf() const {
    try {
      GgufFile{path_};
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      EXPECT_THAT(error.what(), HasSubstr(path_.string()));
      return error.what();
    }
    return "no error";
  }
  void WriteQuickly(std::string_view text) { std::ofstream(path_, std::ios::binary) << text; }

  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("forge_gguf_" + std::to_string(getpid()));
  GgufMetadata metadata_ = {
      {"a.bool", true},
      {"a.double", 0.1},
      {"a.float", 0.5f},
      {"a.int8", std::int8_t{-3}},
      {"a.text", std::string("x\0y", 3)},
      {"a.uint64", std::uint64_t{1} << 63},
      {"an.array", GgufArray(std::vector<std::int32_t>{1, -2, 3})},
      {"an.array.of.bools", GgufArray(std::vector<bool>{true, false})},
      {"an.array.of.texts", GgufArray(std::vector<std::string>{"one", "", "three"})},
  };
};

TEST_F(Gguf, GivesBackWhatWasWritten) {
  WriteSample();
  const GgufFile file(path_);
  EXPECT_EQ(file.metadata(), metadata_);
  ASSERT_EQ(file.entries().size(), 2u);
  const GgufFile::Entry* blocks = file.Find("blocks");
  ASSERT_NE(blocks, nullptr);
  EXPECT_THAT(blocks->shape, ElementsAre(2, 64));
  std::vector<float> values(128), half(3);
  file.ReadFloats(*blocks, values);
  file.ReadFloats(*file.Find("half"), half);
  EXPECT_EQ(values[63], 0.5f);
  EXPECT_EQ(values[64], -0.5f);
  EXPECT_THAT(half, ElementsAre(1, 2, 3));
  EXPECT_EQ(file.Find("nothing"), nullptr);
}

// Versions 2 and 3 differ in nothing that a little-endian reader sees.
TEST_F(Gguf, ReadsVersion2AndRefusesOthers) {
  std::string text = WriteSample();
  text[4] = 2;
  WriteQuickly(text);
  EXPECT_EQ(GgufFile(path_).metadata(), metadata_);
  for (const char version : {0, 1, 4}) {
    text[4] = version;
    WriteQuickly(text);
    EXPECT_THAT(ErrorOf(), HasSubstr("forge reads 2 and 3"));
  }
}

// Written out by hand from the format description.
TEST_F(Gguf, MatchesTheFormatByteForByte) {
  GgufWriter writer(path_, {{"k", std::uint32_t{7}}}, {{"t", {2, 1}, BlockType::kF32}});
  const std::vector<float> values = {1, 2};
  writer.Write(std::as_bytes(std::span(values)));
  writer.Finish();
  using namespace std::string_literals;
  const std::string expected = "GGUF\3\0\0\0"s + "\1\0\0\0\0\0\0\0"s +
                               "\1\0\0\0\0\0\0\0"s +                               // version, tensors, keys
                               "\1\0\0\0\0\0\0\0k"s + "\4\0\0\0"s + "\7\0\0\0"s +  // k: uint32 7
                               "\1\0\0\0\0\0\0\0t"s + "\2\0\0\0"s +                // name, dimensions
                               "\1\0\0\0\0\0\0\0"s + "\2\0\0\0\0\0\0\0"s +         // ne: in 1, out 2
                               "\0\0\0\0"s + "\0\0\0\0\0\0\0\0"s +                 // F32, offset 0
                               std::string(14, '\0') +                             // 82 to 96
                               "\0\0\x80\x3f\0\0\0\x40"s + std::string(24, '\0');
  EXPECT_EQ(ReadFile(path_), expected);
}

TEST_F(Gguf, FindsValuesByKind) {
  EXPECT_EQ(FindInteger(metadata_, "a.int8"), -3);
  EXPECT_EQ(FindInteger(metadata_, "a.uint64"), std::nullopt);  // does not fit
  EXPECT_EQ(FindInteger(metadata_, "a.bool"), std::nullopt);
  EXPECT_EQ(FindNumber(metadata_, "a.float"), 0.5);
  EXPECT_EQ(FindNumber(metadata_, "a.int8"), -3);
  EXPECT_EQ(FindBool(metadata_, "a.bool"), true);
  EXPECT_EQ(FindText(metadata_, "a.float"), nullptr);
  EXPECT_THAT(*FindTexts(metadata_, "an.array.of.texts"), ElementsAre("one", "", "three"));
  EXPECT_THAT(*FindIntegers(metadata_, "an.array"), ElementsAre(1, -2, 3));
  EXPECT_EQ(FindIntegers(metadata_, "an.array.of.texts"), std::nullopt);
}

TEST_F(Gguf, ListsATensorOfUnknownTypeButCannotReadIt) {
  std::string text = WriteSample();
  const std::size_t type = text.find("blocks") + 6 + 4 + 16;
  ASSERT_EQ(text[type], 42);
  text[type] = 23;  // IQ4_XS
  WriteQuickly(text);
  const GgufFile file(path_);
  EXPECT_EQ(file.Find("blocks")->type, std::nullopt);
  std::vector<float> values(128);
  try {
    file.ReadFloats(*file.Find("blocks"), values);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("block type IQ4_XS; forge reads F32, F16"));
  }
}

TEST_F(Gguf, RefusesTensorsThatOverlap) {
  std::string text = WriteSample();
  const std::size_t offset = text.find("blocks") + 6 + 4 + 16 + 4;
  ASSERT_EQ(text[offset], 32);
  text[offset] = 0;  // where "half" lies
  WriteQuickly(text);
  EXPECT_THAT(ErrorOf(), HasSubstr("tensors half and blocks overlap at offset"));
}

TEST_F(Gguf, RefusesCountsThatTheFileCannotHold) {
  const auto number = [](std::uint64_t value) { return std::string(reinterpret_cast<char*>(&value), 8); };
  const std::string start = std::string("GGUF\3\0\0\0", 8);
  const std::uint64_t huge = std::uint64_t{1} << 60;
  WriteQuickly(start + number(huge) + number(0));
  EXPECT_THAT(ErrorOf(), HasSubstr("at offset 24: it claims 1152921504606846976 tensors"));
  WriteQuickly(start + number(0) + number(huge));
  EXPECT_THAT(ErrorOf(), HasSubstr("it claims 1152921504606846976 keys"));
  WriteQuickly(start + number(0) + number(1) + number(huge));
  EXPECT_THAT(ErrorOf(), HasSubstr("a key takes 1152921504606846976 bytes, the file has 0 left"));
  const std::string key = number(1) + "k";
  const std::string array("\x09\0\0\0", 4), of_texts("\x08\0\0\0", 4), of_bytes("\0\0\0\0", 4);
  WriteQuickly(start + number(0) + number(1) + key + array + of_bytes + number(huge));
  EXPECT_THAT(ErrorOf(), HasSubstr("an array of 1152921504606846976 elements in the 0 bytes left"));
  const std::uint64_t many = (2 << 20) + 1;  // texts of no bytes
  WriteQuickly(start + number(0) + number(1) + key + array + of_texts + number(many) +
               std::string(8 * many, '\0'));
  EXPECT_THAT(ErrorOf(), HasSubstr("it has more than 2097152 texts"));
  const std::uint64_t long_array = 65 << 20;
  WriteQuickly(start + number(0) + number(1) + key + array + of_bytes + number(long_array) +
               std::string(long_array, '\0'));
  EXPECT_THAT(ErrorOf(), HasSubstr("forge reads 67108864 bytes of metadata"));
}

TEST_F(Gguf, RefusesShapesThatOverflow) {
  std::string text = WriteSample();
  const std::size_t lengths = text.find("blocks") + 6 + 4;
  for (std::size_t i = 0; i < 16; ++i) text[lengths + i] = i % 8 == 4 ? 1 : 0;  // [2^32, 2^32]
  WriteQuickly(text);
  EXPECT_THAT(ErrorOf(), HasSubstr("the shape of tensor blocks is too large"));
}

TEST_F(Gguf, RefusesAFileCutAtAnyByteOfItsContent) {
  const std::string whole = WriteSample();
  // The last tensor has 36 bytes; the 28 after them are padding that nobody needs.
  for (std::size_t length = 0; length < whole.size() - 28; ++length) {
    WriteQuickly(std::string_view(whole).substr(0, length));
    EXPECT_THROW(GgufFile{path_}, Error) << length;
  }
}

TEST_F(Gguf, SurvivesRandomDamage) {
  const std::string whole = WriteSample();
  Random random(1, "gguf_test");
  for (int trial = 0; trial < 3000; ++trial) {
    std::string damaged = whole;
    for (int flips = 0; flips <= trial % 4; ++flips) {
      const std::size_t at = random.Below(static_cast<std::uint32_t>(damaged.size()));
      damaged[at] =
          static_cast<char>(trial % 2 == 0 ? damaged[at] ^ (1 << random.Below(8)) : random.Below(256));
    }
    WriteQuickly(damaged);
    try {
      const GgufFile file(path_);
      for (const auto& entry : file.entries()) {
        if (!entry.type) continue;
        std::vector<float> values(entry.size());
        file.ReadFloats(entry, values);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
    }
  }
}

}  // namespace
}  // namespace forge::io
