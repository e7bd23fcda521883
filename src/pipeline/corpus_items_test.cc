// SPDX-License-Identifier: Apache-2.0
#include "pipeline/corpus_items.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "pipeline/text_items.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A folder of data sets of made-up words; FORGE_DATA names it.
class CorpusItems : public ::testing::Test {
 protected:
  CorpusItems() {
    fs::create_directories(folder_ / "wikitext");
    setenv("FORGE_DATA", folder_.c_str(), 1);
  }
  ~CorpusItems() override {
    unsetenv("FORGE_DATA");
    fs::remove_all(folder_);
  }
  /// `lines` lines of twenty words each that begin with `word`; every third one is empty.
  void Write(const char* split, const std::string& word, int lines) const {
    std::ofstream file(folder_ / "wikitext" / (std::string(split) + ".jsonl"));
    for (int i = 0; i < lines; ++i) {
      file << "{\"text\": \"";
      for (int w = 0; i % 3 != 2 && w < 20; ++w) file << word << i * 20 + w << ' ';
      file << "\"}\n";
    }
  }
  static std::string Text(const std::vector<eval::Item>& items) {
    std::string text;
    for (const eval::Item& item : items) text += item.prompt + item.completion;
    return text;
  }
  const fs::path folder_ = fs::temp_directory_path() / ("forge_corpus_" + std::to_string(getpid()));
};

TEST_F(CorpusItems, TakesEachPartFromTheSplitOfItsName) {
  Write("train", "train", 200);
  Write("validation", "valid", 200);
  Write("test", "test", 200);
  const eval::DomainItems domain = LoadCorpus("wikitext", {.search = 5, .selection = 3, .test = 4});
  EXPECT_EQ(domain.metric, eval::Metric::kNegativeLogLikelihood);
  ASSERT_EQ(domain.search.size(), 5u);
  ASSERT_EQ(domain.selection.size(), 3u);
  ASSERT_EQ(domain.test.size(), 4u);
  EXPECT_THAT(Text(domain.search), HasSubstr("train0 train1"));
  EXPECT_THAT(Text(domain.selection), HasSubstr("valid0"));
  EXPECT_THAT(Text(domain.test), HasSubstr("test0"));
  EXPECT_EQ(Text(LoadCorpusTraining("wikitext", 5)), Text(domain.search));
}

TEST_F(CorpusItems, SplitsTheOnlyFileByItsPiecesAndReadsNoFurtherThanNeeded) {
  Write("train", "word", 1500);
  std::ofstream(folder_ / "wikitext" / "train.jsonl", std::ios::app) << "not read\n";
  const eval::DomainItems domain = LoadCorpus("wikitext", {.search = 4, .selection = 4, .test = 4});
  std::set<std::string> prompts;
  for (const auto* part : {&domain.search, &domain.selection, &domain.test}) {
    EXPECT_EQ(part->size(), 4u);
    for (const eval::Item& item : *part) prompts.insert(item.prompt);
  }
  EXPECT_EQ(prompts.size(), 12u);
  for (const eval::Item& item : LoadCorpusTraining("wikitext", 20))
    EXPECT_EQ(SplitOf(item.prompt), eval::Split::kSearch);
}

// However the text comes, the pieces are those of the whole.
TEST_F(CorpusItems, PiecesDoNotDependOnTheParts) {
  std::string text, parts;
  std::vector<eval::Item> pieces;
  TextPieces cutter([&](eval::Item item) { pieces.push_back(std::move(item)); });
  for (int i = 0; i < 700; ++i) {
    const std::string line = "line" + std::to_string(i * i) + " of the text\n";
    text += line;
    cutter.Add(line);
  }
  cutter.End();
  std::ofstream(folder_ / "whole.txt") << text;
  const std::vector<NamedItem> whole = ReadTextItems(folder_ / "whole.txt");
  ASSERT_EQ(pieces.size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(pieces[i].prompt, whole[i].item.prompt);
    EXPECT_EQ(pieces[i].completion, whole[i].item.completion);
  }
}

TEST_F(CorpusItems, SaysWhichCommandFetchesWhatIsMissing) {
  try {
    LoadCorpus("openwebtext", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.fields().fix, HasSubstr("forge data pull openwebtext"));
  }
  Write("train", "word", 3);
  EXPECT_THROW(LoadCorpus("wikitext", {}), Error);
}

}  // namespace
}  // namespace forge::pipeline
