// SPDX-License-Identifier: Apache-2.0
#include "merge/remapped_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/testing_models.h"

namespace forge::merge {
namespace {

using ::testing::ElementsAre;

constexpr const char* kEmbedding = "model.embed_tokens.weight";

/// A model whose row r of the embedding is all 10 * number + r, and of the head a hundred times that.
struct NumberedModel {
  NumberedModel(int number, int rows) {
    config = model::testing::TinyConfig("llama");
    config.vocab_size = rows;
    config.tie_word_embeddings = false;
    config.bos_token_id = 0;
    config.eos_token_ids = {1, 2};
    config.pad_token_id = -1;
    weights = model::testing::RandomWeights(config, static_cast<std::uint64_t>(number));
    for (const auto& [name, factor] : {std::pair(kEmbedding, 1.0f), std::pair("lm_head.weight", 100.0f)}) {
      std::vector<float>& values = weights.at(name).values;
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = factor * static_cast<float>(10 * number + static_cast<int>(i) / config.hidden_size);
    }
    source = model::WeightsInMemory(config, weights);
  }
  model::ModelConfig config;
  model::ModelWeights weights;
  std::unique_ptr<model::WeightSource> source;
};

/// The first column of a tensor, after a check that the others are equal to it.
std::vector<float> RowsOf(const model::WeightSource& source, const std::string& name) {
  for (const model::TensorSpec& spec : model::ListTensors(source.config())) {
    if (spec.name != name) continue;
    const model::Tensor tensor = source.Read(spec);
    std::vector<float> rows;
    const auto columns = static_cast<std::size_t>(spec.shape[1]);
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
      if (i % columns == 0) rows.push_back(tensor.values[i]);
      EXPECT_EQ(tensor.values[i], rows.back());
    }
    return rows;
  }
  return {};
}

/// Model 1: x a s t, model 2 (the base): b x t, model 3: s x.
class RemappedVocabulary : public ::testing::Test {
 protected:
  void Remap(const TokenizerSetting& setting, int base = 1) {
    plan_ = PlanVocabulary(
        setting, {{"m1", {"x", "a", "s", "t"}, 4}, {"b", {"b", "x", "t"}, 3}, {"m3", {"s", "x"}, 3}}, base);
    for (std::size_t i = 0; i < 3; ++i) remapped_.push_back(RemapVocabulary(plan_, sources_, i));
  }
  NumberedModel one_{1, 4}, two_{2, 3}, three_{3, 3};
  std::vector<const model::WeightSource*> sources_{one_.source.get(), two_.source.get(), three_.source.get()};
  VocabularyPlan plan_;
  std::vector<std::unique_ptr<model::WeightSource>> remapped_;
};

// Tokens of the result: b x t a s. s is in models 1 and 3 (rows 12 and 30), so the base gets their mean.
TEST_F(RemappedVocabulary, HasEachRowFromWhereThePlanSays) {
  Remap({});
  EXPECT_THAT(RowsOf(*remapped_[0], kEmbedding), ElementsAre(20, 10, 13, 11, 12));
  EXPECT_THAT(RowsOf(*remapped_[1], kEmbedding), ElementsAre(20, 21, 22, 11, 21));
  EXPECT_THAT(RowsOf(*remapped_[2], kEmbedding), ElementsAre(20, 31, 22, 11, 30));
  EXPECT_THAT(RowsOf(*remapped_[1], "lm_head.weight"), ElementsAre(2000, 2100, 2200, 1100, 2100));
}

TEST_F(RemappedVocabulary, FillsPaddingWithTheMeanOfTheOtherRows) {
  Remap({.pad_to_multiple_of = 7});
  EXPECT_THAT(RowsOf(*remapped_[1], kEmbedding), ElementsAre(20, 21, 22, 11, 21, 19, 19));
  EXPECT_THAT(RowsOf(*remapped_[1], "lm_head.weight"), ElementsAre(2000, 2100, 2200, 1100, 2100, 1900, 1900));
}

TEST_F(RemappedVocabulary, OverridesWithZeros) {
  TokenizerSetting setting;
  setting.tokens = {{.token = "x", .kind = TokenOverride::Kind::kZero, .force = true}};
  Remap(setting);
  EXPECT_THAT(RowsOf(*remapped_[2], kEmbedding), ElementsAre(20, 0, 22, 11, 30));
}

TEST_F(RemappedVocabulary, GivesSpecialTokensTheirNewIds) {
  Remap({});
  const model::ModelConfig& config = remapped_[0]->config();
  EXPECT_EQ(config.vocab_size, 5);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(3, 4));
  EXPECT_EQ(config.pad_token_id, -1);
  remapped_.clear();
  Remap({.source = TokenizerSetting::Source::kBase});
  EXPECT_TRUE(remapped_[0]->config().eos_token_ids.empty()) << "a and s are not in the base";
  EXPECT_EQ(remapped_[1]->config().eos_token_ids, two_.config.eos_token_ids);
}

TEST_F(RemappedVocabulary, LeavesOtherTensorsAsTheyWere) {
  Remap({});
  for (const model::TensorSpec& spec : model::ListTensors(remapped_[2]->config())) {
    if (spec.role == model::TensorRole::kEmbedding || spec.role == model::TensorRole::kHead) {
      EXPECT_FALSE(remapped_[2]->FindStoredRows(spec).has_value());
    } else {
      EXPECT_EQ(remapped_[2]->Read(spec), three_.weights.at(spec.name)) << spec.name;
      EXPECT_TRUE(remapped_[2]->FindStoredRows(spec).has_value());
    }
    EXPECT_EQ(remapped_[2]->StoredType(spec), "F32");
  }
}

TEST_F(RemappedVocabulary, ReadsPiecesAsItReadsTheWhole) {
  Remap({.pad_to_multiple_of = 4});
  const model::TensorSpec spec = model::ListTensors(remapped_[2]->config()).front();
  const model::Tensor whole = remapped_[2]->Read(spec);
  const std::size_t columns = model::Columns(spec);
  for (std::int64_t first = 0; first < 8; ++first)
    for (std::int64_t rows = 1; first + rows <= 8; ++rows) {
      std::vector<float> piece(static_cast<std::size_t>(rows) * columns);
      remapped_[2]->ReadRows(spec, first, piece);
      EXPECT_TRUE(std::equal(
          piece.begin(), piece.end(),
          whole.values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(first) * columns)));
    }
}

}  // namespace
}  // namespace forge::merge
