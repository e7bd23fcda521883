// SPDX-License-Identifier: Apache-2.0
#include "pipeline/training_data.h"

#include <fmt/format.h>

#include <sstream>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_lines.h"
#include "io/sha256.h"

namespace forge::pipeline {
namespace {

class Reader {
 public:
  Reader(const text::Tokenizer& tokenizer, const model::ModelConfig& config,
         const TrainingDataOptions& options)
      : tokenizer_(tokenizer), options_(options) {
    if (!config.eos_token_ids.empty()) end_ = config.eos_token_ids.front();
  }

  void AddText(std::string_view text) {
    const std::vector<int> tokens = Whole(tokenizer_.Encode(text));
    const auto piece = static_cast<std::size_t>(options_.max_tokens);
    for (std::size_t first = 0; first < tokens.size(); first += piece) {
      const std::size_t last = std::min(tokens.size(), first + piece);
      if (last - first < 2) break;  // a token with nothing before it teaches nothing
      data.documents.push_back({{tokens.begin() + static_cast<std::ptrdiff_t>(first),
                                 tokens.begin() + static_cast<std::ptrdiff_t>(last)},
                                0});
    }
  }
  /// Encoded apart, so that the border is that of generation after the prompt.
  void AddPair(std::string_view prompt, std::string_view completion) {
    std::vector<int> tokens = tokenizer_.Encode(prompt);
    const std::size_t learned_from =
        options_.masks_prompts ? tokenizer_.data().before.size() + tokens.size() : 0;
    const std::vector<int> learned = tokenizer_.Encode(completion);
    tokens.insert(tokens.end(), learned.begin(), learned.end());
    tokens = Whole(std::move(tokens));
    if (tokens.size() > static_cast<std::size_t>(options_.max_tokens))
      ++data.left_out;
    else if (tokens.size() >= 2)
      data.documents.push_back({std::move(tokens), static_cast<int>(learned_from)});
  }

  TrainingData data;

 private:
  std::vector<int> Whole(std::vector<int> tokens) const {
    const std::vector<int>& before = tokenizer_.data().before;
    tokens.insert(tokens.begin(), before.begin(), before.end());
    if (end_ >= 0 && (tokens.empty() || tokens.back() != end_)) tokens.push_back(end_);
    return tokens;
  }

  const text::Tokenizer& tokenizer_;
  const TrainingDataOptions& options_;
  int end_ = -1;
};

bool IsBlank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

void ReadText(const std::string& text, const std::string& separator, Reader& reader) {
  std::istringstream lines(text);
  std::string line, document;
  const auto finish = [&] {
    while (!document.empty() && document.back() == '\n') document.pop_back();
    if (!IsBlank(document)) reader.AddText(document);
    document.clear();
  };
  while (std::getline(lines, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (separator.empty() ? IsBlank(line) : line == separator)
      finish();
    else
      document += line + "\n";
  }
  finish();
}

void ReadLines(const std::filesystem::path& path, Reader& reader) {
  io::JsonLines lines(path,
                      "{\"prompt\": .., \"completion\": ..} or {\"text\": ..} with texts that are not empty");
  while (lines.Next()) {
    if (lines.Has("text") && !lines.Has("prompt"))
      reader.AddText(lines.FilledText("text"));
    else
      reader.AddPair(lines.FilledText("prompt"), lines.FilledText("completion"));
  }
}

}  // namespace

TrainingData ReadTrainingData(const std::filesystem::path& path, const text::Tokenizer& tokenizer,
                              const model::ModelConfig& config, const TrainingDataOptions& options) {
  Reader reader(tokenizer, config, options);
  if (path.extension() == ".txt") {
    const std::string text = io::ReadFile(path);
    ReadText(text, options.text_separator, reader);
    reader.data.sha256 = io::Sha256(std::as_bytes(std::span(text)));
  } else {
    ReadLines(path, reader);
    reader.data.sha256 = io::Sha256OfFile(path);
  }
  if (reader.data.documents.empty())
    throw Error(
        {.what = "there is nothing to train on in " + path.string(),
         .why = reader.data.left_out > 0 ? "every item is longer than --max-tokens" : "the file has no items",
         .fix = "give a JSONL file of {prompt, completion} or {text}, or a text file, or raise "
                "--max-tokens"});
  return std::move(reader.data);
}

}  // namespace forge::pipeline
