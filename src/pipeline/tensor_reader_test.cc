// SPDX-License-Identifier: Apache-2.0
#include "pipeline/tensor_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/float16.h"
#include "pipeline/testing_merges.h"

namespace forge::pipeline {
namespace {

using ::testing::HasSubstr;

constexpr const char* kName = "model.layers.1.mlp.up_proj.weight";  // [128, 64]

class TensorReads : public testing::MergeFolder {
 protected:
  void Save(const std::string& name, io::FloatType type) {
    model::SaveModelFolder(folder_ / name, config_, weights_, type, "");
    models_.push_back(model::OpenModelFolder(folder_ / name));
    task_.sources.push_back({static_cast<int>(models_.size()) - 1, kName});
  }
  float Stored(std::size_t i) const { return BFloat16ToFloat(FloatToBFloat16(weights_.at(kName).values[i])); }

  model::ModelConfig config_ = model::testing::TinyConfig("llama");
  model::ModelWeights weights_ = model::testing::RandomWeights(config_);
  std::vector<std::unique_ptr<model::WeightSource>> models_;
  merge::TensorTask task_{.name = kName, .shape = {128, 64}};
};

TEST_F(TensorReads, FindsBFloat16AsItIsStoredAndWidensTheRest) {
  Save("a", io::FloatType::kBF16);
  Save("b", io::FloatType::kF32);
  TensorReader reader(models_);
  reader.Open(task_, true);
  const merge::StoredReader find = reader.Find();
  EXPECT_EQ(find(1, 0, 64, false).at, nullptr);
  const merge::Values found = find(0, 3 * 64, 5 * 64, false);
  ASSERT_TRUE(found.is_bfloat16);
  for (std::size_t i = 0; i < 5 * 64; ++i)
    ASSERT_EQ(BFloat16ToFloat(static_cast<const std::uint16_t*>(found.at)[i]), Stored(3 * 64 + i)) << i;
  std::vector<float> read(2 * 64);
  reader.Read()(1, 64, read);
  EXPECT_EQ(read[70], weights_.at(kName).values[134]);
}

TEST_F(TensorReads, KeepsAPieceThatIsAskedForAgain) {
  Save("a", io::FloatType::kBF16);
  TensorReader reader(models_);
  reader.Open(task_, true);
  const merge::StoredReader find = reader.Find();
  const void* once = find(0, 0, 640, false).at;
  const void* kept = find(0, 0, 640, true).at;
  EXPECT_NE(kept, once);
  EXPECT_EQ(find(0, 0, 640, false).at, kept);
  EXPECT_EQ(find(0, 0, 640, false).at, kept);
  EXPECT_NE(find(0, 0, 1280, false).at, kept);  // more than what is there
  reader.Open(task_, true);                     // of another tensor nothing is there
  EXPECT_NE(reader.Find()(0, 0, 640, false).at, kept);
}

TEST_F(TensorReads, KeepsNothingWhereItMayNot) {
  Save("a", io::FloatType::kBF16);
  TensorReader reader(models_);
  reader.Open(task_, false);
  const merge::StoredReader find = reader.Find();
  const void* first = find(0, 0, 640, true).at;
  EXPECT_EQ(find(0, 640, 640, true).at, first);  // the buffer of the thread
}

TEST_F(TensorReads, RefusesAValueThatIsNotFiniteWithItsPlace) {
  std::vector<float>& values = weights_.at(kName).values;
  values[1000] = values[1001] = 1e30f;
  Save("a", io::FloatType::kBF16);
  const std::uint16_t large = FloatToBFloat16(1e30f), pair[] = {large, large}, infinity = 0x7F80;
  const std::filesystem::path path = folder_ / "a/model.safetensors";
  const std::size_t place =
      io::ReadFile(path).find(std::string(reinterpret_cast<const char*>(pair), sizeof pair));
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(place))
      .write(reinterpret_cast<const char*>(&infinity), sizeof infinity);
  file.close();
  TensorReader reader(models_);
  reader.Open(task_, true);
  const merge::StoredReader find = reader.Find();
  EXPECT_NE(find(0, 0, 15 * 64, true).at, nullptr);
  try {
    find(0, 15 * 64, 64, true);
    ADD_FAILURE() << "element 1000 was read";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(std::string("tensor ") + kName + " holds inf at element 1000"));
  }
}

}  // namespace
}  // namespace forge::pipeline
