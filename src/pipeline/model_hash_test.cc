// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_hash.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "io/atomic_file.h"

namespace forge::pipeline {
namespace {

TEST(ModelHash, IsThatOfTheBytesAndNamesNotOfThePlace) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("forge-model-hash-" + std::to_string(getpid()));
  const struct Removal {
    std::filesystem::path path;
    ~Removal() { std::filesystem::remove_all(path); }
  } removal{folder};
  for (const char* name : {"a", "b"}) {
    std::filesystem::create_directories(folder / name);
    io::WriteFileAtomically(folder / name / "config.json", "{}");
    io::WriteFileAtomically(folder / name / "model.safetensors", "weights");
  }
  EXPECT_EQ(ModelHash(folder / "a"), ModelHash(folder / "b"));
  io::WriteFileAtomically(folder / "b" / "model.safetensors", "weightz");
  EXPECT_NE(ModelHash(folder / "a"), ModelHash(folder / "b"));
  std::filesystem::create_directories(folder / "lora");
  io::WriteFileAtomically(folder / "lora" / "adapter_config.json", "{}");
  const std::string both = (folder / "a").string() + "+" + (folder / "lora").string();
  EXPECT_NE(ModelHash(both), ModelHash(folder / "a"));
  EXPECT_EQ(ModelHash(folder / "a" / "config.json").size(), 64U);  // a file: a GGUF model
}

}  // namespace
}  // namespace forge::pipeline
