// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <sstream>

#include "io/atomic_file.h"
#include "text/tokenizer.h"

/// For tests only: golden files of tokenizers.
namespace forge::text::testing {

/// data/ of FORGE_SHARED, or of ../shared beside the source tree.
inline std::filesystem::path SharedData() {
  const char* folder = std::getenv("FORGE_SHARED");
  const std::filesystem::path standard = std::filesystem::path(FORGE_SOURCE_DIR) / "../shared";
  return (folder != nullptr ? std::filesystem::path(folder) : standard) / "data";
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
    begin = end + separator.size();
  }
  EXPECT_EQ(count, expected_count);
}

}  // namespace forge::text::testing

/// Skips the test, saying why, when the file or folder is not there.
#define FORGE_SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << (path) << " is not there; set FORGE_SHARED"
