// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace forge::text {

/// Cuts text into the pieces inside which BPE merges; a merge never crosses a cut.
class PreTokenizer {
 public:
  /// Throws Error(kInput), naming `source`, if a pattern does not compile.
  PreTokenizer(const std::vector<std::string>& patterns, const std::string& source);
  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  /// The pieces in order; together they are the text. Bytes that are not UTF-8 match nothing. May be called
  /// from several threads.
  std::vector<std::string_view> Split(std::string_view text) const;

 private:
  class Pattern;
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

}  // namespace forge::text
