// SPDX-License-Identifier: Apache-2.0
#include "pipeline/training_data.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "text/byte_tokenizer.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

constexpr int kEnd = text::kByteEndOfText;

class TrainingDataTest : public ::testing::Test {
 protected:
  TrainingDataTest() {
    fs::create_directories(folder_);
    io::WriteJsonFile(folder_ / "tokenizer.json", text::MakeByteTokenizerJson());
    tokenizer_ = text::Tokenizer::FromFile(folder_ / "tokenizer.json");
    config_.eos_token_ids = {kEnd};
  }
  ~TrainingDataTest() override { fs::remove_all(folder_); }

  TrainingData Read(const std::string& name, const std::string& text,
                    const TrainingDataOptions& options = {}) {
    io::WriteFileAtomically(folder_ / name, text);
    return ReadTrainingData(folder_ / name, *tokenizer_, config_, options);
  }
  /// The texts of the documents, with | for the end of text.
  std::vector<std::string> Texts(const TrainingData& data) const {
    std::vector<std::string> texts;
    for (const train::Document& document : data.documents) {
      texts.emplace_back();
      for (const int token : document.tokens)
        texts.back() += token == kEnd ? "|" : tokenizer_->TokenBytes(token);
    }
    return texts;
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge_training_data_" + std::to_string(getpid()));
  std::unique_ptr<text::Tokenizer> tokenizer_;
  model::ModelConfig config_;
};

TEST_F(TrainingDataTest, ReadsPairsAndTextsOfJsonLines) {
  const std::string lines = "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"text\": \"xyz\"}\n";
  const TrainingData data = Read("a.jsonl", lines);
  EXPECT_THAT(Texts(data), ElementsAre("abcd|", "xyz|"));
  EXPECT_EQ(data.documents[0].learned_from, 2);
  EXPECT_EQ(data.documents[1].learned_from, 0);
  EXPECT_EQ(Read("a.jsonl", lines, {.masks_prompts = false}).documents[0].learned_from, 0);
}

TEST_F(TrainingDataTest, CutsTextFilesAtBlankLinesOrAtTheSeparator) {
  const std::string text = "one\ntwo\n\n \nthree\r\n\nfour";
  EXPECT_THAT(Texts(Read("a.txt", text)), ElementsAre("one\ntwo|", "three|", "four|"));
  EXPECT_THAT(Texts(Read("a.txt", "a\n\nb\n---\nc\n", {.text_separator = "---"})),
              ElementsAre("a\n\nb|", "c|"));
}

TEST_F(TrainingDataTest, CutsLongTextsAndLeavesOutLongPairs) {
  const TrainingData data =
      Read("a.jsonl", "{\"text\": \"abcdefg\"}\n{\"prompt\": \"abc\", \"completion\": \"defg\"}\n",
           {.max_tokens = 3});
  EXPECT_THAT(Texts(data), ElementsAre("abc", "def", "g|"));
  EXPECT_EQ(data.left_out, 1u);
  EXPECT_THROW(Read("a.jsonl", "{\"prompt\": \"abc\", \"completion\": \"d\"}", {.max_tokens = 3}), Error);
  EXPECT_THROW(Read("a.txt", "\n \n\n"), Error);
}

}  // namespace
}  // namespace forge::pipeline
