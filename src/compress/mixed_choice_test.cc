// SPDX-License-Identifier: Apache-2.0
#include "compress/mixed_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/philox.h"
#include "compress/sensitivity.h"
#include "io/gguf.h"
#include "model/testing_models.h"

namespace forge::compress {
namespace {

using io::BlockType;

constexpr const char* kEmbedding = "model.embed_tokens.weight";

/// A model whose linears lose at random, less in larger types, and whose tables do.
class MixedChoice : public ::testing::Test {
 protected:
  explicit MixedChoice(std::uint64_t seed = 1) : random_(seed, "compress/testing/mixed_choice") {
    config_.vocab_size = 512;  // 32768 weights, beside 73728 of the linears
    for (const std::vector<std::string>& unit : FusedLinears(config_)) {
      sensitivities_.push_back(random_.Uniform());
      for (const std::string& name : unit) {
        LinearReport report{.name = name, .nearest_error = 0.2};
        double error = 0.1;
        for (std::size_t i = 1; i + 1 < storages_.size(); ++i)
          report.compared.push_back(error *= 0.3 + 0.4 * random_.Uniform());
        reports_.push_back(report);
      }
    }
    tables_ = {{kEmbedding, {BlockType::kQ4_0, BlockType::kQ5_0, BlockType::kQ8_0}, {0.2, 0.05, 0.001}}};
  }

  std::uint64_t Bytes(const MixedTypes& types) const {
    std::uint64_t bytes = 0;
    for (const model::TensorSpec& spec : model::ListTensors(config_)) {
      const auto linear = types.linears.find(spec.name);
      const auto table = types.tables.find(spec.name);
      if (linear != types.linears.end())
        bytes += io::GgufWriter::TensorBytes({spec.name, spec.shape, storages_[linear->second].type});
      if (table != types.tables.end())
        bytes += io::GgufWriter::TensorBytes({spec.name, spec.shape, table->second});
    }
    return bytes;
  }

  /// In nats, of all linears and tables.
  double Loss(const MixedTypes& types) const {
    double loss = 0;
    const std::vector<std::vector<std::string>> units = FusedLinears(config_);
    std::size_t report = 0;
    for (std::size_t u = 0; u < units.size(); ++u)
      for (const std::string& name : units[u]) {
        const std::size_t storage = types.linears.at(name);
        const LinearReport& of = reports_[report++];
        EXPECT_EQ(of.name, name);
        const double error = storage == 0                                  ? 0.2
                             : storages_[storage].type == BlockType::kQ8_0 ? of.compared[5] / 256
                                                                           : of.compared[storage - 1];
        loss += sensitivities_[u] * error / 0.2 / static_cast<double>(units[u].size());
      }
    for (const TableChoice& table : tables_)
      for (std::size_t i = 0; i < table.types.size(); ++i)
        if (types.tables.at(table.name) == table.types[i]) loss += table.divergences[i];
    return loss;
  }

  MixedTypes Choose(const MixedBudget& budget) const {
    return ChooseTypes(config_, storages_, reports_, sensitivities_, tables_, budget, sink_);
  }

  model::ModelConfig config_ = model::testing::TinyConfig();
  std::vector<LinearStorage> storages_ =
      MixedStorages({"ternary", &FindQuantiser("weighted"), 64, BlockType::kQ2_0});
  std::vector<LinearReport> reports_;
  std::vector<double> sensitivities_;
  std::vector<TableChoice> tables_;
  Random random_;
  mutable NullMetricSink sink_;
};

TEST_F(MixedChoice, TablesAndLinearsShareTheBytes) {
  constexpr std::uint64_t kOther = 1000;
  ASSERT_EQ(storages_[6].type, BlockType::kQ4_0);
  const std::vector<TableChoice> all = tables_;
  std::map<BlockType, int> chosen;
  for (const std::uint64_t most : {42000, 46000, 52000, 60000, 70000, 90000}) {
    const MixedTypes types = Choose({.file_bytes = most, .other_bytes = kOther});
    EXPECT_LE(Bytes(types) + kOther, most);
    ++chosen[types.tables.at(kEmbedding)];
    double least = 1e300;  // of the files with each type of the table
    for (std::size_t i = 0; i < all[0].types.size(); ++i) {
      tables_ = {{kEmbedding, {all[0].types[i]}, {all[0].divergences[i]}}};
      try {
        CheckBudget(config_, storages_, tables_[0].types, {.file_bytes = most, .other_bytes = kOther});
      } catch (const Error&) {
        continue;
      }
      least = std::min(least, Loss(Choose({.file_bytes = most, .other_bytes = kOther})));
    }
    tables_ = all;
    EXPECT_NEAR(Loss(types), least, 1e-12);
  }
  EXPECT_EQ(chosen.size(), 3u);  // a small table where bytes are scarce, a large one where they are not
}

TEST_F(MixedChoice, ATableThatLosesNothingIsStoredSmall) {
  tables_[0].divergences = {0, 0, 0};
  EXPECT_EQ(Choose({.file_bytes = 100'000'000}).tables.at(kEmbedding), BlockType::kQ4_0);
  tables_[0].divergences = {9, 8, 0};
  EXPECT_EQ(Choose({.file_bytes = 57000}).tables.at(kEmbedding), BlockType::kQ8_0);
}

TEST_F(MixedChoice, LinearsHaveALimitOfTheirOwn) {
  const auto bits = [&](const MixedBudget& budget) {
    MixedTypes types = Choose(budget);
    types.tables.clear();
    return 8 * static_cast<double>(Bytes(types)) / 73728;
  };
  EXPECT_LE(bits({.bits_per_weight = 3, .file_bytes = 100'000'000}), 3);
  EXPECT_GT(bits({.bits_per_weight = 3, .file_bytes = 100'000'000}), 2.7);
  EXPECT_EQ(bits({.file_bytes = 100'000'000}), 8.5);
  EXPECT_EQ(bits({}), 8.5);
}

}  // namespace
}  // namespace forge::compress
