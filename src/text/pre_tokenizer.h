// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/split_scanner.h"

namespace forge::text {

/// Cuts text into the pieces inside which BPE merges; a merge never crosses a cut.
class PreTokenizer {
 public:
  enum class Engine {
    kScanner,  // the scanner of split_scanner.h if there is one for these patterns, else PCRE2
    kPcre2     // always PCRE2; some ten times slower. For tests
  };
  /// Text is cut at the matches of each pattern in turn; matches and what lies between them stay apart. No
  /// pattern: no cut. Throws Error(kInput), naming `source`, if a pattern does not compile.
  PreTokenizer(const std::vector<std::string>& patterns, const std::string& source,
               Engine engine = Engine::kScanner);
  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  /// Calls `sink(std::string_view)` for the pieces in order; together they are the text. Bytes that are not
  /// UTF-8 match nothing. May be called from several threads.
  template <class Sink>
  void ForEachPiece(std::string_view text, const Sink& sink) const {
    if (scanner_ == nullptr) {
      for (const std::string_view piece : SplitByPatterns(text)) sink(piece);
      return;
    }
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = scanner_(text, begin);
      sink(text.substr(begin, end - begin));
      begin = end;
    }
  }
  /// The same as a list.
  std::vector<std::string_view> Split(std::string_view text) const;

 private:
  class Pattern;
  std::vector<std::string_view> SplitByPatterns(std::string_view text) const;

  PieceEnd scanner_ = nullptr;
  std::vector<std::unique_ptr<Pattern>> patterns_;  // none if there is a scanner
};

}  // namespace forge::text
