// SPDX-License-Identifier: Apache-2.0
#include "text/gpt2_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "text/load_tokenizer.h"

namespace forge::text {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class Gpt2Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    io::WriteJsonFile(folder_ / "vocab.json",
                      {{"h", 0}, {"e", 1}, {"Ġ", 2}, {"he", 3}, {"Ġhe", 4}, {"<|endoftext|>", 5}});
    io::WriteFileAtomically(folder_ / "merges.txt", "#version: 0.2\nh e\r\n\u0120 he\n");
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_ = fs::temp_directory_path() / ("forge_gpt2_files_" + std::to_string(getpid()));
};

TEST_F(Gpt2Folder, IsReadAsGpt2) {
  const auto tokenizer = LoadTokenizer(folder_);
  EXPECT_THAT(tokenizer->Encode("he he<|endoftext|>", true), ElementsAre(3, 4, 5));
  EXPECT_EQ(tokenizer->data().bos, 5);
  EXPECT_TRUE(tokenizer->IsControl(5));
  io::WriteJsonFile(folder_ / "tokenizer_config.json", {{"tokenizer_class", "GPT2Tokenizer"}});
  EXPECT_EQ(LoadTokenizer(folder_)->size(), 6);
}

TEST_F(Gpt2Folder, IsRefusedForAnotherClassWhichSplitsInAnotherWay) {
  io::WriteJsonFile(folder_ / "tokenizer_config.json", {{"tokenizer_class", "Qwen2Tokenizer"}});
  try {
    LoadTokenizer(folder_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("Qwen2Tokenizer"));
  }
}

}  // namespace
}  // namespace forge::text
