// SPDX-License-Identifier: Apache-2.0
#include "pipeline/text_items.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace forge::pipeline {
namespace {

class TextItems : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::vector<NamedItem> Read(const std::string& text) {
    std::ofstream(path_) << text;
    return ReadTextItems(path_);
  }
  std::string path_ =
      (std::filesystem::temp_directory_path() / ("forge_tale_" + std::to_string(getpid()) + ".txt")).string();
};

TEST_F(TextItems, CutsTheWholeTextAtWhiteSpace) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "word" + std::to_string(i) + (i % 7 == 0 ? "\n" : " ");
  const std::vector<NamedItem> items = Read(text);
  EXPECT_GT(items.size(), 8u);
  std::string again;
  for (const NamedItem& named : items) {
    EXPECT_EQ(named.domain, std::filesystem::path(path_).stem().string());
    EXPECT_GE(named.item.prompt.size(), 400u);
    EXPECT_LT(named.item.prompt.size(), 420u);
    again += named.item.prompt + named.item.completion + " ";
  }
  for (const int i : {0, 7, 300, 1234, 1999})
    EXPECT_NE(again.find("word" + std::to_string(i)), std::string::npos) << i;
}

TEST_F(TextItems, RefusesATextThatIsTooShort) {
  EXPECT_THROW(Read("A short text."), Error);
  EXPECT_TRUE(IsTextFile("a/b.txt"));
  EXPECT_FALSE(IsTextFile("a/b.jsonl"));
}

}  // namespace
}  // namespace forge::pipeline
