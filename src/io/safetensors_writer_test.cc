// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/json_file.h"
#include "io/safetensors_folder.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  SafetensorsWriterTest() { fs::create_directories(folder_); }
  ~SafetensorsWriterTest() override { fs::remove_all(folder_); }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  fs::path folder_ = fs::temp_directory_path() / ("forge_safetensors_writer_" + std::to_string(getpid()));
};

const std::vector<TensorShape> kTensors = {{"a", {2, 3}}, {"b", {0}}, {"c", {1}}, {"d", {10}}, {"e", {}}};

std::vector<float> Count(std::size_t size) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<float>(i);
  return values;
}

TEST_F(SafetensorsWriterTest, GivesTheBytesOfOneFileHoweverItIsFed) {
  const std::vector<float> values = Count(18);
  WriteSafetensors(folder_ / "expected",
                   {{"a", {2, 3}, std::span(values).first(6)},
                    {"b", {0}, {}},
                    {"c", {1}, std::span(values).subspan(6, 1)},
                    {"d", {10}, std::span(values).subspan(7, 10)},
                    {"e", {}, std::span(values).subspan(17)}},
                   FloatType::kBF16);
  for (const std::size_t piece : {1, 4, 18}) {
    SafetensorsWriter writer(folder_, kTensors, FloatType::kBF16);
    for (std::size_t i = 0; i < values.size(); i += piece)
      writer.Write(std::span(values).subspan(i, std::min(piece, values.size() - i)));
    writer.Finish();
    EXPECT_EQ(ReadFile(folder_ / "model.safetensors"), ReadFile(folder_ / "expected")) << piece;
  }
  EXPECT_THAT(Files(), ElementsAre("expected", "model.safetensors"));
}

// Shards of 7 floats (28 bytes): a b c take 7; d alone takes 10, more than the limit; e is the rest.
TEST_F(SafetensorsWriterTest, CutsBetweenTensorsAtTheLimit) {
  const std::vector<float> values = Count(18);
  SafetensorsWriter writer(folder_, kTensors, FloatType::kF32, 28);
  EXPECT_EQ(writer.num_shards(), 3u);
  writer.Write(values);
  writer.Finish();
  EXPECT_THAT(Files(), ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                   "model-00003-of-00003.safetensors", "model.safetensors.index.json"));
  const Json index = ReadJsonFile(folder_ / "model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], 72);
  EXPECT_EQ(index["weight_map"]["c"], "model-00001-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["e"], "model-00003-of-00003.safetensors");
  const SafetensorsFolder shards(folder_);
  EXPECT_EQ(shards.items().size(), 5u);
  std::vector<float> d(10);
  shards.items().at("d").file->ReadFloats("d", d);
  EXPECT_EQ(d, std::vector<float>(values.begin() + 7, values.begin() + 17));
}

// With room for 6 floats c does not fit beside a: [a b] [c] [d] [e]. With room for all there is one file.
TEST_F(SafetensorsWriterTest, CountsShardsByTheBytesThatFit) {
  EXPECT_EQ(SafetensorsWriter(folder_, kTensors, FloatType::kF32, 27).num_shards(), 4u);
  EXPECT_EQ(SafetensorsWriter(folder_, kTensors, FloatType::kF32, 71).num_shards(), 2u);
  EXPECT_EQ(SafetensorsWriter(folder_, kTensors, FloatType::kF32, 72).num_shards(), 1u);
  EXPECT_EQ(SafetensorsWriter(folder_, kTensors, FloatType::kF16, 36).num_shards(), 1u);
}

TEST_F(SafetensorsWriterTest, LeavesNothingUnderAFinalNameWhenGivenUp) {
  {
    SafetensorsWriter writer(folder_, kTensors, FloatType::kF32);
    writer.Write(Count(17));
  }
  EXPECT_TRUE(Files().empty());
}

}  // namespace
}  // namespace forge::io
