// SPDX-License-Identifier: Apache-2.0
#include "text/word_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/philox.h"
#include "text/hash_bytes.h"

namespace forge::text {
namespace {

using ::testing::ElementsAre;

std::vector<int> Ids(const WordCache& cache, std::string_view piece) {
  const auto found = cache.Find(piece);
  return found ? std::vector<int>(found->begin(), found->end()) : std::vector<int>{-1};
}

TEST(WordCache, GivesBackIdsOfShortAndLongPieces) {
  WordCache cache;
  const std::string long_piece(100, 'x');
  cache.Add("a", std::vector{1});
  cache.Add("ab", std::vector{1, 2});
  cache.Add(std::string_view("a\0", 2), std::vector{3});  // not the same as "a"
  cache.Add("exactly 15 char", std::vector{4, 5});
  cache.Add("exactly 16 chars", std::vector{6, 7});
  cache.Add(long_piece, std::vector{8, 9, 10});
  cache.Add("nothing", std::vector<int>{});
  EXPECT_THAT(Ids(cache, "a"), ElementsAre(1));
  EXPECT_THAT(Ids(cache, "ab"), ElementsAre(1, 2));
  EXPECT_THAT(Ids(cache, std::string_view("a\0", 2)), ElementsAre(3));
  EXPECT_THAT(Ids(cache, "exactly 15 char"), ElementsAre(4, 5));
  EXPECT_THAT(Ids(cache, "exactly 16 chars"), ElementsAre(6, 7));
  EXPECT_THAT(Ids(cache, long_piece), ElementsAre(8, 9, 10));
  EXPECT_THAT(Ids(cache, "nothing"), ElementsAre());
  EXPECT_FALSE(cache.Find("b"));
  EXPECT_FALSE(cache.Find(long_piece.substr(1)));
  EXPECT_FALSE(cache.Find(""));
}

TEST(WordCache, LeavesOutPiecesThatAreTooLong) {
  WordCache cache;
  cache.Add(std::string(WordCache::kMaxPiece + 1, 'x'), std::vector{1});
  EXPECT_FALSE(cache.Find(std::string(WordCache::kMaxPiece + 1, 'x')));
}

/// Two pieces of 16 bytes with one hash: the second word of the other undoes what its first one changed.
std::pair<std::string, std::string> PiecesOfOneHash() {
  const auto after_first_word = [](std::uint64_t word) {
    const std::uint64_t hash = (16 * kGoldenRatio ^ word) * kGoldenRatio;
    return hash ^ hash >> 32;
  };
  const auto piece = [](std::uint64_t first, std::uint64_t second) {
    std::string bytes(16, '\0');
    std::memcpy(bytes.data(), &first, 8);
    std::memcpy(bytes.data() + 8, &second, 8);
    return bytes;
  };
  return {piece(1, 3), piece(2, 3 ^ after_first_word(1) ^ after_first_word(2))};
}

TEST(WordCache, TellsPiecesOfOneHashApart) {
  const auto [first, second] = PiecesOfOneHash();
  ASSERT_NE(first, second);
  ASSERT_EQ(HashBytes(first), HashBytes(second));
  WordCache cache;
  cache.Add(first, std::vector{1});
  EXPECT_FALSE(cache.Find(second));
  cache.Add(second, std::vector{2});
  EXPECT_THAT(Ids(cache, first), ElementsAre(1));
  EXPECT_THAT(Ids(cache, second), ElementsAre(2));
}

// More pieces than there is room for: some are forgotten, none gets the ids of another.
TEST(WordCache, ForgetsButNeverConfuses) {
  WordCache cache;
  Random random(1, "word_cache_test");
  int found = 0;
  for (int i = 0; i < 400000; ++i) {
    const int word = static_cast<int>(random.Below(150000));
    const std::string piece = (word % 3 == 0 ? "a rather long piece of text " : "w") + std::to_string(word);
    const std::vector<int> ids(static_cast<std::size_t>(word % 4 + 1), word);
    if (const auto known = cache.Find(piece)) {
      ASSERT_EQ(std::vector<int>(known->begin(), known->end()), ids) << piece;
      ++found;
    } else {
      cache.Add(piece, ids);
    }
  }
  EXPECT_GT(found, 50000);
}

}  // namespace
}  // namespace forge::text
