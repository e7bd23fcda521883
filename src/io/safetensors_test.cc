// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/philox.h"
#include "io/atomic_file.h"

namespace forge::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Safetensors : public ::testing::Test {
 protected:
  Safetensors() { std::filesystem::create_directories(folder_); }
  ~Safetensors() override { std::filesystem::remove_all(folder_); }

  /// A file of this header text and `data_bytes` zero bytes.
  std::filesystem::path FileOf(const std::string& header, std::size_t data_bytes) {
    const std::uint64_t length = header.size();
    std::string text(8, '\0');
    std::memcpy(text.data(), &length, 8);
    WriteQuickly(text + header + std::string(data_bytes, '\0'));
    return path_;
  }
  /// Without the syncs of AtomicFile, which would make a thousand files take seconds.
  void WriteQuickly(std::string_view text) { std::ofstream(path_, std::ios::binary) << text; }
  std::string ErrorOf(const std::string& header, std::size_t data_bytes) {
    try {
      SafetensorsFile file(FileOf(header, data_bytes));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "no error";
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() /
                                  ("forge_safetensors_" + std::to_string(getpid()) +
                                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::filesystem::path path_ = folder_ / "model.safetensors";
};

TEST_F(Safetensors, GivesBackWhatWasWritten) {
  const std::vector<float> a = {1, -2.5f, 3e-8f, 4, 5, 6}, b = {7};
  WriteSafetensors(path_, {{"b", {}, b}, {"a", {2, 3}, a}, {"empty", {0, 4}, {}}}, FloatType::kF32);
  const SafetensorsFile file(path_);
  ASSERT_EQ(file.entries().size(), 3u);
  EXPECT_EQ(file.entries()[0].name, "a");
  EXPECT_THAT(file.Get("a").shape, ElementsAre(2, 3));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  std::vector<float> read(6), scalar(1);
  file.ReadFloats("a", read);
  file.ReadFloats("b", scalar);
  EXPECT_EQ(read, a);
  EXPECT_EQ(scalar, b);
  EXPECT_EQ(file.Find("c"), nullptr);
}

TEST_F(Safetensors, RoundsHalfTypesToNearestEven) {
  // 1 + 2^-11 lies between 1 and the next half, 1 + 2^-10; 1 + 2^-8 between two bfloat16s. Both ties go down.
  const std::vector<float> values = {1.00048828125f, 1.00390625f, 65504, -0.0f};
  std::vector<float> read(4);
  WriteSafetensors(path_, {{"x", {4}, values}}, FloatType::kF16);
  SafetensorsFile(path_).ReadFloats("x", read);
  EXPECT_THAT(read, ElementsAre(1.0f, 1.00390625f, 65504.0f, 0.0f));
  WriteSafetensors(path_, {{"x", {4}, values}}, FloatType::kBF16);
  SafetensorsFile(path_).ReadFloats("x", read);
  EXPECT_THAT(read, ElementsAre(1.0f, 1.0f, 65536.0f, 0.0f));
}

TEST_F(Safetensors, RefusesEveryLieInTheHeader) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(ErrorOf(good, 8), "no error");
  EXPECT_THAT(ErrorOf(good, 7), HasSubstr("beyond the 7 bytes"));
  EXPECT_THAT(ErrorOf(good, 9), HasSubstr("offsets 8 to 9 belong to no tensor"));
  const auto entry = [](const char* shape, const char* offsets, const char* dtype = "F32") {
    return std::string(R"({"a":{"dtype":")") + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  EXPECT_THAT(ErrorOf(entry("[3]", "[0,8]"), 8), HasSubstr("takes 12 bytes"));
  EXPECT_THAT(ErrorOf(entry("[2]", "[8,0]"), 8), HasSubstr("run backwards"));
  EXPECT_THAT(ErrorOf(entry("[2]", "[0,8]", "F31"), 8), HasSubstr("unknown dtype \"F31\""));
  EXPECT_THAT(ErrorOf(entry("[-2]", "[0,8]"), 8), HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(entry("[4294967296,4294967296]", "[0,0]"), 0), HasSubstr("too large"));
  EXPECT_THAT(ErrorOf(entry("[2]", "[0.0,8]"), 8), HasSubstr("numbers"));
  EXPECT_THAT(ErrorOf(R"({"a":3})", 0), HasSubstr("must have dtype"));
  EXPECT_THAT(ErrorOf("[]", 0), HasSubstr("JSON object"));
  EXPECT_THAT(ErrorOf("{", 0), HasSubstr("not JSON"));
  const std::string one = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  EXPECT_THAT(ErrorOf("{" + one + "," + one + "}", 2), HasSubstr("\"a\" twice"));
  EXPECT_THAT(ErrorOf("{" + one + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
              HasSubstr("overlap"));
  EXPECT_THAT(ErrorOf("{" + one + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})", 4),
              HasSubstr("offsets 2 to 3 belong to no tensor"));
}

TEST_F(Safetensors, RefusesAFileCutAtAnyByte) {
  const std::vector<float> a(5, 1.0f);
  WriteSafetensors(path_, {{"a", {5}, a}}, FloatType::kF32);
  const std::string whole = ReadFile(path_);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    WriteQuickly(std::string_view(whole).substr(0, length));
    EXPECT_THROW(SafetensorsFile{path_}, Error) << length;
  }
}

TEST_F(Safetensors, SurvivesRandomDamage) {
  const std::vector<float> a(16, 1.0f);
  WriteSafetensors(path_, {{"first", {4, 4}, a}, {"second", {16}, a}}, FloatType::kF16);
  const std::string whole = ReadFile(path_);
  Random random(1, "safetensors_test");
  for (int trial = 0; trial < 1000; ++trial) {
    std::string damaged = whole;
    for (int flips = 0; flips <= trial % 3; ++flips)
      damaged[random.Below(static_cast<std::uint32_t>(damaged.size()))] ^=
          static_cast<char>(1u << random.Below(8));
    WriteQuickly(damaged);
    try {
      const SafetensorsFile file(path_);
      for (const auto& entry : file.entries()) {
        std::vector<float> values(entry.size());
        file.ReadFloats(entry, values);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
    }
  }
}

TEST_F(Safetensors, ReadsTheShardsOfAnIndex) {
  const std::vector<float> a = {1}, b = {2, 3};
  WriteSafetensors(folder_ / "one.safetensors", {{"a", {1}, a}}, FloatType::kF32);
  WriteSafetensors(folder_ / "two.safetensors", {{"b", {2}, b}}, FloatType::kF32);
  const auto index = folder_ / "model.safetensors.index.json";
  WriteFileAtomically(index, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const SafetensorsFolder shards(folder_);
  ASSERT_EQ(shards.items().size(), 2u);
  std::vector<float> read(2);
  const auto item = shards.items().at("b");
  item.file->ReadFloats(*item.entry, read);
  EXPECT_EQ(read, b);

  WriteFileAtomically(index, R"({"weight_map":{"a":"two.safetensors"}})");
  EXPECT_THROW(SafetensorsFolder{folder_}, Error);
  WriteFileAtomically(index, R"({"weight_map":{"a":"../one.safetensors"}})");
  EXPECT_THROW(SafetensorsFolder{folder_}, Error);
}

TEST(FloatType, IsReadInBothSpellings) {
  EXPECT_EQ(ParseFloatType("BF16"), FloatType::kBF16);
  EXPECT_EQ(ParseFloatType("float16"), FloatType::kF16);
  EXPECT_THROW(ParseFloatType("int8"), Error);
}

}  // namespace
}  // namespace forge::io
