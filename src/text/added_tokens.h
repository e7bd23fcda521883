// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "text/token_matcher.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// What a token with the rule `normalized` looks like in normalized text, and decodes to. SentencePiece
/// compares its pieces as they are; Hugging Face normalizes them like any text, with the space in front.
std::string NormalizedForm(const TokenizerData& data, const std::string& token);

/// The control and user-defined tokens of a tokenizer: those that are looked for in the text as it is, and
/// those that are looked for once it is normalized.
class AddedTokens {
 public:
  explicit AddedTokens(const TokenizerData& data);

  const TokenMatcher& raw() const { return raw_; }
  const TokenMatcher& normalized() const { return normalized_; }
  /// False only if no token of normalized() can be in `text` once its spaces are spelled; found out without
  /// spelling them.
  bool MayHoldNormalized(std::string_view text, bool with_control) const;

 private:
  TokenMatcher raw_, normalized_;
  TokenMatcher cores_;  // the longest part without "▁" of each token of normalized_
  bool any_core_empty_ = false;
};

}  // namespace forge::text
