// SPDX-License-Identifier: Apache-2.0
#include "io/parallel_safetensors_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/atomic_file.h"
#include "io/safetensors_folder.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;

class ParallelSafetensorsWriterTest : public testing::Test {
 protected:
  ParallelSafetensorsWriterTest() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~ParallelSafetensorsWriterTest() override { fs::remove_all(folder_); }
  fs::path folder_ = fs::temp_directory_path() / ("forge_parallel_writer" + std::to_string(getpid()));
};

std::vector<float> Ramp(std::size_t size) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<float>(i % 1001) - 500;
  return values;
}

TEST_F(ParallelSafetensorsWriterTest, WritesTheBytesOfTheOtherWriterWhateverTheOrderOfThePieces) {
  const fs::path other = folder_ / "other";
  fs::create_directories(other);
  const std::vector<float> a = Ramp(3'000'000), b = Ramp(7);
  for (const std::uint64_t shard : {kDefaultShardBytes, std::uint64_t{1'000'000}}) {
    ParallelSafetensorsWriter writer(
        folder_, {{"a", {3000, 1000}, FloatType::kBF16}, {"b", {7}, FloatType::kBF16}}, shard);
    writer.Write(1, 0, b);
    constexpr std::size_t kPiece = 9001;
    const std::size_t count = (a.size() + kPiece - 1) / kPiece;
    ThreadPool::Global().Run(count, [&](std::size_t i) {
      const std::size_t first = (count - 1 - i) * kPiece;
      writer.Write(0, first, std::span(a).subspan(first, std::min(kPiece, a.size() - first)));
    });
    writer.Finish();
    SafetensorsWriter plain(other, {{"a", {3000, 1000}}, {"b", {7}}}, FloatType::kBF16, shard);
    plain.Write(a);
    plain.Write(b);
    plain.Finish();
    EXPECT_EQ(writer.num_shards(), plain.num_shards());
    for (const auto& entry : fs::directory_iterator(other))
      EXPECT_EQ(ReadFile(entry.path()), ReadFile(folder_ / entry.path().filename())) << entry.path();
  }
}

TEST_F(ParallelSafetensorsWriterTest, StoresEachTensorAsItsOwnType) {
  ParallelSafetensorsWriter writer(folder_, {{"a", {2, 3}, FloatType::kF32}, {"b", {5}, FloatType::kF16}});
  const std::vector<float> a = {1.0f / 3, 2, 3, 4, 5, 6}, b = {0.5f, 1, 2, 3, 65504};
  writer.Write(0, 0, a);
  writer.Write(1, 0, b);
  writer.Finish();
  const SafetensorsFile file(folder_ / "model.safetensors");
  std::vector<float> back(6);
  file.ReadFloats("a", back);
  EXPECT_EQ(back, a);
  EXPECT_EQ(file.Get("b").dtype, "F16");
  back.resize(5);
  file.ReadFloats("b", back);
  EXPECT_EQ(back, b);
}

TEST_F(ParallelSafetensorsWriterTest, WritesAnElementThatLiesInTwoBlocks) {
  const auto odd = static_cast<std::int64_t>(ParallelFile::kBlockBytes / 2 - 101);
  const std::vector<float> a = Ramp(static_cast<std::size_t>(odd)), b = Ramp(500);
  ParallelSafetensorsWriter writer(folder_, {{"a", {odd}, FloatType::kF16}, {"b", {500}, FloatType::kF32}});
  writer.Write(0, 0, a);
  writer.Write(1, 0, b);
  writer.Finish();
  const SafetensorsFile file(folder_ / "model.safetensors");
  std::vector<float> back(500);
  file.ReadFloats("b", back);
  EXPECT_EQ(back, b);
}

TEST_F(ParallelSafetensorsWriterTest, LeavesNothingWithoutFinish) {
  { ParallelSafetensorsWriter writer(folder_, {{"a", {4}, FloatType::kF32}}); }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ParallelSafetensorsWriterTest, SaysAtTheStartThatTheDiskIsTooSmall) {
  EXPECT_THROW(ParallelSafetensorsWriter(folder_, {{"a", {1'000'000'000, 1'000'000}, FloatType::kF32}}),
               Error);
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace forge::io
