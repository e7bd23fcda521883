// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/error.h"
#include "track/store.h"
#include "track/test_folder.h"

namespace forge::track {
namespace {

using testing::HasSubstr;

TEST(KeptEvaluations, AreFoundByTheirKeyInEveryRunUntilForgotten) {
  const TestFolder folder;
  const Json scores{{"scores", {{0.1, 1.0 / 3}}}};
  {
    Store store = Store::Open(folder.path(), Store::Mode::kWrite);
    store.KeepEvaluation("a", {{"scores", 0}});
    store.KeepEvaluation("a", scores);  // the later one counts
  }
  Store store = Store::Open(folder.path(), Store::Mode::kWrite);
  EXPECT_EQ(store.FindKeptEvaluation("a"), scores);
  EXPECT_FALSE(store.FindKeptEvaluation("b"));
  EXPECT_EQ(store.CountKeptEvaluations(), 1);
  store.ForgetKeptEvaluations();
  EXPECT_FALSE(store.FindKeptEvaluation("a"));
}

TEST(KeptEvaluations, RefuseADamagedRowByName) {
  const TestFolder folder;
  Store store = Store::Open(folder.path(), Store::Mode::kWrite);
  store.KeepEvaluation("a", {{"scores", 0.5}});
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open((folder.path() / "forge.db").c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(raw, "UPDATE kept_evaluations SET value = '{\"scores\":0.6}'", nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(raw);
  try {
    store.FindKeptEvaluation("a");
    FAIL() << "used";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("kept evaluation a"));
    EXPECT_THAT(error.what(), HasSubstr("forge runs --forget-evaluations"));
  }
}

}  // namespace
}  // namespace forge::track
