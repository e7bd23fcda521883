// SPDX-License-Identifier: Apache-2.0
#include "train/packing.h"

#include <gmock/gmock.h>

#include <set>

namespace forge::train {
namespace {

using ::testing::ElementsAre;

Document Of(int token, int length, int learned_from = 0) {
  return {std::vector<int>(static_cast<std::size_t>(length), token), learned_from};
}

// Lengths 3, 5, 2, 4 in rows of 7: longest first, 5 | 4; 3 goes to the 4, which leaves 0; 2 to the 5.
TEST(PackedRows, FillsRowsBestFitDecreasing) {
  const PackedRows rows({Of(1, 3), Of(2, 5), Of(3, 2), Of(4, 4)}, 7, true, 1);
  EXPECT_EQ(rows.num_rows(), 2u);
  EXPECT_EQ(rows.fill(), 1.0);
  const TokenBatch batch = rows.Batch(0, 2);
  EXPECT_EQ(batch.length, 7);
  const std::set<std::vector<int>> got{{batch.tokens.begin(), batch.tokens.begin() + 7},
                                       {batch.tokens.begin() + 7, batch.tokens.end()}};
  EXPECT_EQ(got, (std::set<std::vector<int>>{{2, 2, 2, 2, 2, 3, 3}, {4, 4, 4, 4, 1, 1, 1}}));
}

TEST(PackedRows, LearnsNeitherPromptsNorFirstTokensNorTheRest) {
  const PackedRows rows({Of(1, 3), Of(2, 4, 2)}, 9, true, 1);
  const TokenBatch batch = rows.Batch(0, 1);
  EXPECT_THAT(batch.tokens, ElementsAre(2, 2, 2, 2, 1, 1, 1, 0, 0));
  EXPECT_THAT(batch.token_weights, ElementsAre(0, 0, 1, 1, 0, 1, 1, 0, 0));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 0, 1, 2, 0, 1));
}

TEST(PackedRows, UnpackedRowsAreAsLongAsTheLongestOfTheBatch) {
  const PackedRows rows({Of(1, 3), Of(2, 5)}, 100, false, 1);
  const TokenBatch batch = rows.Batch(0, 2);
  EXPECT_EQ(batch.length, 5);
  EXPECT_EQ(batch.tokens.size(), 10u);
  EXPECT_EQ(rows.num_rows(), 2u);
}

TEST(PackedRows, GoesThroughAllRowsInEveryEpochInANewOrder) {
  std::vector<Document> documents;
  for (int i = 0; i < 20; ++i) documents.push_back(Of(i + 1, 2));
  const PackedRows rows(documents, 2, true, 1);
  std::set<std::vector<int>> orders;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int> order;
    for (std::uint64_t i = 0; i < 20; ++i) order.push_back(rows.Batch(epoch * 20 + i, 1).tokens[0]);
    EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), 20u);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 3u);
  // A batch over the border of two epochs is the rows one by one.
  const TokenBatch across = rows.Batch(19, 2);
  EXPECT_EQ(across.tokens[0], rows.Batch(19, 1).tokens[0]);
  EXPECT_EQ(across.tokens[2], rows.Batch(20, 1).tokens[0]);
}

}  // namespace
}  // namespace forge::train
