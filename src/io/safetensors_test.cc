// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/philox.h"
#include "io/atomic_file.h"
#include "io/safetensors_writer.h"

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

TEST_F(Safetensors, CopiesBytesAndSaysWhenTheFileHasBecomeShorter) {
  std::vector<float> a(10'000);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i);
  WriteSafetensors(path_, {{"a", {100, 100}, a}}, FloatType::kF32);
  const SafetensorsFile file(path_);
  const std::span<const std::byte> all = file.Get("a").bytes;
  std::vector<float> copied(7);
  file.Copy(all.subspan(4 * 9'990, 4 * 7), reinterpret_cast<std::byte*>(copied.data()));
  EXPECT_THAT(copied, ElementsAre(9990, 9991, 9992, 9993, 9994, 9995, 9996));
  std::filesystem::resize_file(path_, 20'000);
  try {
    file.Copy(all.subspan(4 * 9'990, 4 * 7), reinterpret_cast<std::byte*>(copied.data()));
    ADD_FAILURE() << "bytes came from nowhere";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("it has become shorter"));
  }
}

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
  EXPECT_THAT(ErrorOf(entry("[2]", "[0,8]", "F31"), 8), HasSubstr("the dtype \"F31\""));
  EXPECT_THAT(ErrorOf(entry("[-2]", "[0,8]"), 8), HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(entry("[4294967296,4294967296]", "[0,0]"), 0), HasSubstr("too large"));
  EXPECT_THAT(ErrorOf(entry("[2]", "[0.0,8]"), 8), HasSubstr("numbers"));
  EXPECT_THAT(ErrorOf(R"({"a":3})", 0), HasSubstr("entry must be an object"));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[2]}})", 8), HasSubstr("must have dtype"));
  EXPECT_THAT(ErrorOf(entry("[2]", "[0,8,9]"), 8), HasSubstr("two numbers"));
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

// F64 goes to the nearest float: 1 + 2^-24 lies between 1 and the next one, ties to even; 1e300 is beyond.
TEST_F(Safetensors, RoundsDoublesToTheNearestFloat) {
  const double values[] = {1 + 0x1p-24, -2.5, 1e300, 0x1p-149};
  const std::string_view data(reinterpret_cast<const char*>(values), sizeof values);
  std::string text = ReadFile(FileOf(R"({"x":{"dtype":"F64","shape":[4],"data_offsets":[0,32]}})", 0));
  WriteQuickly(text + std::string(data));
  const SafetensorsFile file(path_);
  std::vector<float> read(4), tail(2);
  file.ReadFloats("x", read);
  EXPECT_THAT(read, ElementsAre(1, -2.5f, std::numeric_limits<float>::infinity(), 0x1p-149f));
  file.ReadFloats(file.Get("x"), 1, tail);
  EXPECT_THAT(tail, ElementsAre(-2.5f, std::numeric_limits<float>::infinity()));
}

TEST_F(Safetensors, RefusesQuantizedTypesByName) {
  for (const char* dtype : {"I8", "U8", "F8_E4M3", "F8_E5M2", "BOOL"}) {
    FileOf(std::string(R"({"w":{"dtype":")") + dtype + R"(","shape":[2],"data_offsets":[0,2]}})", 2);
    const SafetensorsFile file(path_);
    std::vector<float> read(2);
    try {
      file.ReadFloats("w", read);
      FAIL() << dtype;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string("tensor w is stored as ") + dtype));
      EXPECT_THAT(error.what(), HasSubstr("F32, F16, BF16 or F64"));
    }
  }
}

TEST_F(Safetensors, RefusesHeadersMadeToFillMemoryOrTheStack) {
  EXPECT_THAT(ErrorOf(std::string(1 << 20, '['), 0), HasSubstr("JSON object"));
  EXPECT_THAT(ErrorOf(R"({"a":)" + std::string(1 << 20, '{'), 0), HasSubstr("not JSON"));
  std::string many = R"({"a":{"dtype":"F32","shape":[0)";
  for (int i = 0; i < 8; ++i) many += ",0";
  EXPECT_THAT(ErrorOf(many + R"(],"data_offsets":[0,0]}})", 0), HasSubstr("more than 8 dimensions"));
  std::string metadata = R"({"__metadata__":{"k":"")";
  for (int i = 0; i < 10'000; ++i) metadata += ",\"" + std::to_string(i) + "\":\"\"";
  EXPECT_THAT(ErrorOf(metadata + "}}", 0), HasSubstr("more than 10000 entries"));
  std::string tensors = R"({"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  for (int i = 0; i < 1 << 17; ++i)
    tensors += ",\"" + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  EXPECT_THAT(ErrorOf(tensors + "}", 0), HasSubstr("more than 131072 tensors"));
  EXPECT_THAT(ErrorOf(std::string((32 << 20) + 1, ' '), 0), HasSubstr("forge reads up to 33554432"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{"k":3}})", 0), HasSubstr("\"k\" must be a string"));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{},"__metadata__":{}})", 0), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"scale":1}})", 4),
              HasSubstr("scale is unknown"));
}

TEST_F(Safetensors, ReadsAgainWhatWasReleased) {
  const std::vector<float> a(100'000, 1.5f);
  WriteSafetensors(path_, {{"a", {100'000}, a}}, FloatType::kF32);
  const SafetensorsFile file(path_);
  std::vector<float> read(a.size());
  for (int round = 0; round < 2; ++round) {
    std::fill(read.begin(), read.end(), 0.0f);
    file.ReadFloats("a", read);
    EXPECT_EQ(read, a);
    file.Release(file.Get("a").bytes);
  }
}

TEST(FloatType, IsReadInBothSpellings) {
  EXPECT_EQ(ParseFloatType("BF16"), FloatType::kBF16);
  EXPECT_EQ(ParseFloatType("float16"), FloatType::kF16);
  EXPECT_THROW(ParseFloatType("int8"), Error);
}

}  // namespace
}  // namespace forge::io
