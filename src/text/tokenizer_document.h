// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/json_file.h"

namespace forge::text {

/// A tokenizer.json with its two large parts, model.vocab (an object of integers) and model.merges (an
/// array), read apart: they are nearly all of the file and would be 300,000 JSON values. The cost is a look
/// at each byte.
struct TokenizerDocument {
  /// One of merges: "left right" in one string, or two strings.
  struct Merge {
    std::string_view first, second;
    bool is_pair;
  };

  /// Keeps `text`; throws Error(kInput), naming `source` and the offset, if it is not JSON.
  TokenizerDocument(std::string text, const std::string& source);
  TokenizerDocument(const TokenizerDocument&) = delete;
  TokenizerDocument& operator=(const TokenizerDocument&) = delete;

  io::Json json;  // without them: in their place {} and []. A vocab or merges of another kind stays in here
  std::vector<std::pair<std::string_view, long long>> vocabulary;  // in the order of the file
  std::vector<Merge> merges;

 private:
  std::string text_;
  std::deque<std::string> unescaped_;  // strings that are not in the text as they are
};

}  // namespace forge::text
