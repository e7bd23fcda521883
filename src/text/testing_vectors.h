// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "io/atomic_file.h"
#include "io/json_file.h"
#include "text/tokenizer.h"

/// For tests only: golden files of tokenizers.
namespace forge::text::testing {

/// data/ of FORGE_SHARED, or of ../shared beside the source tree.
inline std::filesystem::path SharedData() {
  const char* folder = std::getenv("FORGE_SHARED");
  const std::filesystem::path standard = std::filesystem::path(FORGE_SOURCE_DIR) / "../shared";
  return (folder != nullptr ? std::filesystem::path(folder) : standard) / "data";
}

/// Merges by their halves, which must be tokens of `data` like what they make.
inline std::vector<Merge> MergesOf(const TokenizerData& data,
                                   const std::vector<std::pair<std::string, std::string>>& halves) {
  const auto id_of = [&](const std::string& token) {
    const auto found = std::find(data.tokens.begin(), data.tokens.end(), token);
    if (found == data.tokens.end()) throw std::invalid_argument(token);
    return static_cast<int>(found - data.tokens.begin());
  };
  std::vector<Merge> merges;
  for (const auto& [left, right] : halves) merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  return merges;
}

/// The vectors of llama.cpp: texts in .inp, ids in .out, one line each.
inline void CheckLlamaCppVectors(const Tokenizer& tokenizer, const std::filesystem::path& inp,
                                 std::size_t expected_count) {
  const std::string text = io::ReadFile(inp), separator = "\n__ggml_vocab_test__\n";
  std::filesystem::path out = inp;
  std::istringstream lines(io::ReadFile(out.replace_extension(".out")));
  std::string line;
  std::size_t count = 0;
  for (std::size_t begin = 0; begin <= text.size(); ++count) {  // the last text is empty, and so is its line
    if (!std::getline(lines, line)) line.clear();
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    std::istringstream numbers(line);
    const std::vector<int> ids{std::istream_iterator<int>(numbers), {}};
    const std::string part = text.substr(begin, end - begin);
    EXPECT_EQ(tokenizer.Encode(part), ids) << part;
    EXPECT_EQ(tokenizer.Decode(ids), part);
    begin = end + separator.size();
  }
  EXPECT_EQ(count, expected_count);
}

/// The [{text, ids}] of vectors_made, both ways.
inline void CheckMadeVectors(const Tokenizer& tokenizer, const std::filesystem::path& json) {
  std::size_t count = 0;
  for (const io::Json& one : io::ReadJsonFile(json)) {
    const auto text = one["text"].get<std::string>();
    const auto ids = one["ids"].get<std::vector<int>>();
    EXPECT_EQ(tokenizer.Encode(text), ids) << text;
    EXPECT_EQ(tokenizer.Decode(ids), text);
    ++count;
  }
  EXPECT_EQ(count, 140u);
}

/// The vectors of one model in swift-transformers' tokenizer_tests.json, both ways, without the first
/// `before` and the last `after` ids. `skip` says which texts to leave out.
inline void CheckSwiftVectors(const Tokenizer& tokenizer, const std::string& model, int before, int after,
                              const std::function<bool(const std::string&)>& skip = {}) {
  std::size_t count = 0;
  const io::Json all = io::ReadJsonFile(SharedData() / "tokenizers/vectors_swift/tokenizer_tests.json");
  for (const io::Json& one : all.at(model)) {
    const auto text = one["input"].get<std::string>();
    auto ids = one["encoded"]["input_ids"].get<std::vector<int>>();
    ids = {ids.begin() + before, ids.end() - after};
    ++count;
    if (skip && skip(text)) continue;
    EXPECT_EQ(tokenizer.Encode(text), ids) << text;
    EXPECT_EQ(tokenizer.Decode(ids), text);
  }
  EXPECT_EQ(count, 18u);
}

/// Every vector of Llama 2. The tokenizer.json in shared/ has lost its tokens of no-break spaces (they are
/// plain spaces there), so two texts give other ids.
inline void CheckLlama2Vectors(const Tokenizer& tokenizer, bool has_no_break_space) {
  const std::filesystem::path folder = SharedData() / "tokenizers";
  CheckLlamaCppVectors(tokenizer, folder / "vectors_llamacpp/ggml-vocab-llama-spm.gguf.inp", 47);
  CheckMadeVectors(tokenizer, folder / "vectors_made/llama2.json");
  CheckSwiftVectors(tokenizer, "coreml-projects/Llama-2-7b-chat-coreml", 1, 0, [&](const std::string& text) {
    return !has_no_break_space && text.find("\u00a0") != std::string::npos;
  });
  const io::Json swift = io::ReadJsonFile(folder / "vectors_swift/llama_encoded.json");
  EXPECT_EQ(tokenizer.WithTemplate(tokenizer.Encode(swift["text"].get<std::string>())),
            swift["token_ids"].get<std::vector<int>>());
}

/// Every vector of GPT-2's vocabulary; Whisper's English one is the same with ids around the text.
inline void CheckGpt2Vectors(const Tokenizer& tokenizer) {
  const std::filesystem::path folder = SharedData() / "tokenizers";
  CheckLlamaCppVectors(tokenizer, folder / "vectors_llamacpp/ggml-vocab-gpt-2.gguf.inp", 47);
  CheckMadeVectors(tokenizer, folder / "vectors_made/gpt2.json");
  CheckSwiftVectors(tokenizer, "distilgpt2", 0, 0);
  CheckSwiftVectors(tokenizer, "openai/whisper-tiny.en", 2, 1);
  const io::Json swift = io::ReadJsonFile(folder / "vectors_swift/gpt2_encoded_tokens.json");
  EXPECT_EQ(tokenizer.Encode(swift["text"].get<std::string>()), swift["token_ids"].get<std::vector<int>>());
}

}  // namespace forge::text::testing

/// Skips the test, saying why, when the file or folder is not there.
#define FORGE_SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << (path) << " is not there; set FORGE_SHARED"
