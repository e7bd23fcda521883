// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_data.h"

namespace forge::text {

/// Finds control and user-defined tokens in text, as Hugging Face tokenizers' added vocabulary does: from
/// left to right, of those that start at one place the longest.
class TokenMatcher {
 public:
  struct Token {
    std::string text;  // not empty
    AddedTokenRule rule;
    bool is_control = false;
  };
  struct Match {
    std::size_t begin, end;  // with the white space that lstrip and rstrip take along
    int id;
  };

  explicit TokenMatcher(std::vector<Token> tokens);

  bool empty() const { return tokens_.empty(); }
  /// The tokens in `text`, in order and apart; control tokens only if `with_control`. The cost for each place
  /// is at most the length of the longest token times the logarithm of their number; a place where no token
  /// starts costs about a byte's look-up.
  std::vector<Match> FindAll(std::string_view text, bool with_control) const;
  /// True if any token's text is in `text`, whatever its rule.
  bool IsAnyIn(std::string_view text, bool with_control) const;

 private:
  /// The first position from `position` on at which a token may start.
  std::size_t Candidate(std::string_view text, std::size_t position, bool with_control) const;
  const Token* LongestAt(std::string_view text, std::size_t position, bool with_control) const;

  std::vector<Token> tokens_;                         // by text
  std::array<std::array<bool, 256>, 2> starts_ = {};  // [with_control][byte]
  std::array<int, 2> only_start_;                     // the byte if there is just one; -1: several or none
};

}  // namespace forge::text
