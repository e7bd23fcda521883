// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/safetensors_writer.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SafetensorsFolderTest : public ::testing::Test {
 protected:
  SafetensorsFolderTest() { fs::create_directories(folder_); }
  ~SafetensorsFolderTest() override { fs::remove_all(folder_); }
  std::string ErrorOf() const {
    try {
      SafetensorsFolder{folder_};
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "no error";
  }
  fs::path folder_ = fs::temp_directory_path() / ("forge_shards_" + std::to_string(getpid()));
};

TEST_F(SafetensorsFolderTest, ReadsTheShardsOfAnIndex) {
  const std::vector<float> a = {1}, b = {2, 3};
  WriteSafetensors(folder_ / "one.safetensors", {{"a", {1}, a}}, FloatType::kF32);
  WriteSafetensors(folder_ / "two.safetensors", {{"b", {2}, b}}, FloatType::kF32);
  const auto index = folder_ / "model.safetensors.index.json";
  WriteFileAtomically(index, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const SafetensorsFolder shards(folder_);
  ASSERT_EQ(shards.items().size(), 2u);
  std::vector<float> read(2);
  const auto item = shards.items().at("b");
  item.file->ReadFloats(*item.entry, read);
  EXPECT_EQ(read, b);

  WriteFileAtomically(index, R"({"weight_map":{"a":"two.safetensors"}})");
  EXPECT_THAT(ErrorOf(), HasSubstr("two.safetensors has no tensor a"));
  WriteFileAtomically(index, R"({"weight_map":{"a":"../one.safetensors"}})");
  EXPECT_THAT(ErrorOf(), HasSubstr("not a file name in this folder"));
  WriteFileAtomically(index, R"({"weight_map":{"a":"three.safetensors"}})");
  EXPECT_THAT(ErrorOf(), HasSubstr("tensor a is in three.safetensors, which is not there"));
  WriteSafetensors(folder_ / "two.safetensors", {{"a", {2}, b}, {"b", {2}, b}}, FloatType::kF32);
  WriteFileAtomically(index, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_THAT(ErrorOf(), HasSubstr("tensor a is in another shard too"));
}

TEST_F(SafetensorsFolderTest, RefusesPyTorchCheckpointsWithTheWayToConvertThem) {
  EXPECT_THAT(ErrorOf(), HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
  WriteFileAtomically(folder_ / "model-00001-of-00002.safetensors", "x");
  EXPECT_THAT(ErrorOf(), HasSubstr("only model-00001-of-00002.safetensors"));
  for (const char* name : {"pytorch_model.bin", "consolidated.00.pth", "ckpt.pt"}) {
    WriteFileAtomically(folder_ / name, "PK\3\4");
    const std::string text = ErrorOf();
    EXPECT_THAT(text, HasSubstr(name));
    EXPECT_THAT(text, HasSubstr("a Python pickle"));
    EXPECT_THAT(text, HasSubstr("save_pretrained"));
    fs::remove(folder_ / name);
  }
}

}  // namespace
}  // namespace forge::io
