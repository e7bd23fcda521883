// SPDX-License-Identifier: Apache-2.0
#include "pipeline/distillation_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "text/byte_tokenizer.h"

namespace forge::pipeline {
namespace {

const text::Tokenizer kTokenizer(text::MakeByteTokenizer());
const model::ModelConfig kConfig{.vocab_size = 264, .eos_token_ids = {text::kByteEndOfText}};

std::vector<eval::Item> Items(char letter, int count, std::size_t length) {
  std::vector<eval::Item> items;
  for (int i = 0; i < count; ++i)
    items.push_back({std::string(length / 2, letter), std::string(length - length / 2, letter)});
  return items;
}

TEST(DistillationRows, GiveEachDomainAsManyTokensAndATeacherEveryTokenButTheFirst) {
  const std::map<std::string, std::vector<eval::Item>> domains{{"many", Items('m', 300, 63)},
                                                               {"few", Items('f', 3, 31)}};
  const DistillationRows rows(domains, kTokenizer, kConfig, 64 * 256, 1);
  int many = 0, few = 0, learned = 0, starts = 0;
  for (int step = 0; step < 16; ++step)
    for (int micro = 0; micro < 2; ++micro) {
      const train::TokenBatch batch = rows.Batch(step, micro, 2, 4);
      EXPECT_EQ(batch.rows, 2);
      EXPECT_EQ(batch.length, 256);
      EXPECT_TRUE(batch.token_weights.empty());
      for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
        many += batch.tokens[i] == 'm';
        few += batch.tokens[i] == 'f';
        learned += batch.teacher_weights[i] == 1;
        starts += batch.positions[i] == 0 && batch.tokens[i] != 0;
        EXPECT_TRUE(batch.positions[i] != 0 || batch.teacher_weights[i] == 0);
      }
    }
  EXPECT_EQ(many, 128 * 63);
  EXPECT_EQ(few, 256 * 31);
  // Every text has an end of its own beside its letters.
  EXPECT_EQ(learned + starts, many + few + starts);
}

TEST(DistillationRows, DivideLongTextsAndRefuseADomainWithoutAny) {
  // 700 letters and the end: rows of 256, 256 and 189.
  const DistillationRows rows({{"long", Items('x', 2, 700)}}, kTokenizer, kConfig, 700, 1);
  const train::TokenBatch batch = rows.Batch(0, 0, 1, 3);
  EXPECT_EQ(batch.length, 256);
  EXPECT_EQ(std::count(batch.tokens.begin(), batch.tokens.end(), 'x'), 700);
  EXPECT_EQ(std::count(batch.teacher_weights.begin(), batch.teacher_weights.end(), 1.0f), 255 + 255 + 188);
  const model::ModelConfig endless{.vocab_size = 264};
  EXPECT_THROW(DistillationRows({{"short", {{"a", ""}}}}, kTokenizer, endless, 300, 1), Error);
}

}  // namespace
}  // namespace forge::pipeline
