// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forge::text {

/// Turns the bytes of tokens into text that can be shown at once: holds back a UTF-8 character whose end is
/// still to come, and whatever may be the start of a stop text. Bytes that are no UTF-8 become U+FFFD.
class TextStream {
 public:
  /// `stops`: texts that end the output, none empty. The one that is complete first does, of several that end
  /// there the longest; so the text does not depend on how it is cut into tokens.
  explicit TextStream(std::vector<std::string> stops = {}) : stops_(std::move(stops)) {}

  /// Adds bytes; returns what may be shown now. Nothing is added after a stop text was found.
  /// O(bytes held and added * length of the stop texts).
  std::string Add(std::string_view bytes);
  /// What was held back, at the end of the text.
  std::string Finish();
  bool stopped() const { return stopped_; }
  /// How many of the added bytes were shown.
  std::size_t shown_bytes() const { return shown_bytes_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::size_t shown_bytes_ = 0;
  bool stopped_ = false;
};

/// Replaces what is no UTF-8 by U+FFFD. A character that is cut off at the end is left out, and its length
/// set in `cut`.
std::string CleanUtf8(std::string_view bytes, std::size_t& cut);

}  // namespace forge::text
