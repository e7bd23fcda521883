// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/error.h"
#include "track/schema.h"
#include "track/store.h"
#include "track/test_folder.h"

namespace forge::track {
namespace {

using testing::HasSubstr;

void RunSql(const std::filesystem::path& folder, const char* sql) {
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open((folder / "forge.db").c_str(), &raw), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
}

TEST(TensorStatistics, OfTheFirstWriterStay) {
  const TestFolder folder;
  Store one = Store::Open(folder.path(), Store::Mode::kWrite);
  Store other = Store::Open(folder.path(), Store::Mode::kWrite);
  one.KeepTensorStatistics("models", "w", {{"n", 1}});
  other.KeepTensorStatistics("models", "w", {{"n", 2}});
  other.KeepTensorStatistics("models", "v", {{"n", 3}});
  EXPECT_EQ(other.FindTensorStatistics("models", "w"), (Json{{"n", 1}}));
  EXPECT_EQ(one.FindTensorStatistics("models", "v"), (Json{{"n", 3}}));
  EXPECT_FALSE(one.FindTensorStatistics("other models", "w"));
}

TEST(TensorStatistics, RefuseADamagedRowByNameUntilItIsForgotten) {
  const TestFolder folder;
  Store store = Store::Open(folder.path(), Store::Mode::kWrite);
  store.KeepTensorStatistics("models", "w", {{"n", 1}});
  store.KeepTensorStatistics("models", "v", {{"n", 1}});
  RunSql(folder.path(), "UPDATE tensor_statistics SET value = '{\"n\":2}' WHERE tensor = 'w'");
  try {
    store.FindTensorStatistics("models", "w");
    FAIL() << "used";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("keeps of w"));
  }
  store.ForgetTensorStatistics("models", "w");
  EXPECT_FALSE(store.FindTensorStatistics("models", "w"));
  EXPECT_TRUE(store.FindTensorStatistics("models", "v"));
}

TEST(StoreOfTheThirdVersion, IsReadWithoutTensorStatisticsAndGetsThemFromAWriter) {
  const TestFolder folder;
  {
    Store store = Store::Open(folder.path(), Store::Mode::kWrite);
    store.KeepEvaluation("a", {{"scores", 0.5}});
  }
  RunSql(folder.path(), "DROP TABLE tensor_statistics; PRAGMA user_version = 3");
  Store reader = Store::Open(folder.path(), Store::Mode::kRead);
  EXPECT_FALSE(reader.FindTensorStatistics("models", "w"));
  EXPECT_TRUE(reader.FindKeptEvaluation("a"));

  Store writer = Store::Open(folder.path(), Store::Mode::kWrite);
  writer.KeepTensorStatistics("models", "w", {{"n", 1}});
  EXPECT_TRUE(writer.FindTensorStatistics("models", "w"));
  EXPECT_TRUE(writer.FindKeptEvaluation("a"));
}

}  // namespace
}  // namespace forge::track
