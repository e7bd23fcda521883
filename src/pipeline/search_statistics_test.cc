// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_statistics.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include "pipeline/merge_genome.h"
#include "pipeline/testing_search.h"

namespace forge::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SearchStatisticsTest : public testing::TinySearch {
 protected:
  /// A search's parents and what its log says.
  SearchStatistics Of(track::Store* store, std::vector<std::string> parents = {"hash a", "hash b"}) {
    return SearchStatistics({.base_hash = "hash base",
                             .parent_hashes = std::move(parents),
                             .store = store,
                             .log = [this](const std::string& line) { log_.push_back(line); }});
  }
  const std::vector<float> values_ = {1, -2, 3, 0.5f};
  const merge::Change change_{{values_.data()}};
  std::vector<std::string> log_;
};

TEST_F(SearchStatisticsTest, AreMadeOnceAndFoundByTheNextSearch) {
  track::Store* store = Context("a").store;
  SearchStatistics first = Of(store);
  const merge::MagnitudeTable& table = first.Magnitudes(0, "w", change_, 4);
  EXPECT_EQ(&first.Magnitudes(0, "w", change_, 4), &table);
  first.Magnitudes(1, "w", change_, 4);
  EXPECT_EQ(first.counts().made, 2);
  EXPECT_EQ(first.counts().found, 0);
  SearchStatistics second = Of(store);
  const std::vector<float> others(4, 1.0f);  // not looked at
  EXPECT_EQ(second.Magnitudes(0, "w", {{others.data()}}, 4).bins(), table.bins());
  EXPECT_EQ(second.counts().made, 0);
  EXPECT_EQ(second.counts().found, 1);
  EXPECT_THAT(log_, ElementsAre());
}

TEST_F(SearchStatisticsTest, BelongToTheModelsByTheirHashes) {
  track::Store* store = Context("a").store;
  Of(store).Magnitudes(0, "w", change_, 4);
  SearchStatistics other = Of(store, {"hash c"});
  other.Magnitudes(0, "w", change_, 4);
  EXPECT_EQ(other.counts().made, 1);
  SearchStatistics swapped = Of(store, {"hash b", "hash a"});
  swapped.Magnitudes(1, "w", change_, 4);
  EXPECT_EQ(swapped.counts().found, 1);
}

TEST_F(SearchStatisticsTest, OfADamagedRowAreToldOfAndMadeAgain) {
  const RunContext context = Context("a");
  Of(context.store).Magnitudes(0, "w", change_, 4);
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open((context.folder / "forge.db").c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "UPDATE tensor_statistics SET value = replace(value, '4', '5')", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(raw);
  SearchStatistics search = Of(context.store);
  search.Magnitudes(0, "w", change_, 4);
  EXPECT_EQ(search.counts().made, 1);
  EXPECT_THAT(log_, ElementsAre(HasSubstr("statistics of w are made again")));
  SearchStatistics later = Of(context.store);
  later.Magnitudes(0, "w", change_, 4);
  EXPECT_EQ(later.counts().found, 1);
}

TEST_F(SearchStatisticsTest, ProductsAreMadeOnceForTheModelsAndTheirOrder) {
  track::Store* store = Context("a").store;
  const auto make = [] { return std::vector<double>{1, 0.5, 0.5, 2}; };
  const auto fail = []() -> std::vector<double> { throw std::logic_error("known"); };
  Of(store).ChangeProducts("w", make);
  SearchStatistics second = Of(store);
  EXPECT_THAT(second.ChangeProducts("w", fail), ElementsAre(1, 0.5, 0.5, 2));
  EXPECT_EQ(second.counts().products_found, 1);
  EXPECT_THROW(Of(store, {"hash b", "hash a"}).ChangeProducts("w", fail), std::logic_error);
  EXPECT_THROW(second.ChangeProducts("v", fail), std::logic_error);
  EXPECT_THAT(log_, ElementsAre());
}

TEST_F(SearchStatisticsTest, StayInMemoryWithoutAStore) {
  SearchStatistics search = Of(nullptr);
  search.Magnitudes(0, "w", change_, 4);
  search.Magnitudes(0, "w", change_, 4);
  EXPECT_EQ(search.counts().made, 1);
}

}  // namespace
}  // namespace forge::pipeline
