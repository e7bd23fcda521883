// SPDX-License-Identifier: Apache-2.0
#include "io/parquet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <stdexcept>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const fs::path kTestData = fs::path(FORGE_SOURCE_DIR) / "src/io/testdata";

class Parquet : public ::testing::Test {
 protected:
  void SetUp() override {
    if (ParquetLibraryPath().empty()) GTEST_SKIP() << "this build has no Parquet reader";
  }
  static std::vector<std::string> RowsOf(const fs::path& path) {
    std::vector<std::string> rows;
    ReadParquetRows(path, [&](std::string_view row) { rows.emplace_back(row); });
    return rows;
  }
  static std::string ErrorOf(const fs::path& path) {
    try {
      RowsOf(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "no error";
  }
};

// Written by src/io/testdata/make_rows_parquet.py.
TEST_F(Parquet, GivesEachRowAsAJsonObject) {
  EXPECT_THAT(
      RowsOf(kTestData / "rows.parquet"),
      ElementsAre(
          R"({"question":"How many?","id":1,"score":0.5,"label":true,"choices":{"text":["a","b"],)"
          R"("label":["A","B"]},"category":"math","long":"x","day":"2024-02-29"})",
          R"({"question":"naïve \"quoted\"\n","id":-9007199254740993,"score":null,"label":false,)"
          R"("choices":{"text":[],"label":null},"category":"math","long":"","day":"2024-02-29"})",
          R"({"question":null,"id":null,"score":1e-300,"label":null,"choices":null,"category":"code",)"
          R"("long":"z","day":"2024-02-29"})"));
}

TEST_F(Parquet, SaysWhatItCannotRead) {
  EXPECT_THAT(ErrorOf(kTestData / "bytes.parquet"), HasSubstr("a column of bytes"));
  EXPECT_THAT(ErrorOf(kTestData / "none.parquet"), HasSubstr("No such file"));
  const fs::path cut = fs::temp_directory_path() / ("forge-parquet-" + std::to_string(getpid()));
  const std::string whole = ReadFile(kTestData / "rows.parquet");
  for (const std::size_t size : {std::size_t{0}, std::size_t{4}, whole.size() / 2, whole.size() - 1}) {
    WriteFileAtomically(cut, whole.substr(0, size));
    EXPECT_THAT(ErrorOf(cut), HasSubstr("cannot read")) << size;
  }
  fs::remove(cut);
}

TEST_F(Parquet, EndsWithTheErrorOfTheTaker) {
  int rows = 0;
  EXPECT_THROW(ReadParquetRows(kTestData / "rows.parquet",
                               [&](std::string_view) {
                                 ++rows;
                                 throw std::runtime_error("the disk is full");
                               }),
               std::runtime_error);
  EXPECT_EQ(rows, 1);
}

}  // namespace
}  // namespace forge::io
