// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::cli {

/// Turns the bytes of tokens into text that can be shown at once: holds back a UTF-8 character whose end is
/// still to come, and whatever may be the start of the stop text. Bytes that are no UTF-8 become U+FFFD.
class TextStream {
 public:
  explicit TextStream(std::string stop = {}) : stop_(std::move(stop)) {}

  /// Adds bytes; returns what may be shown now. Nothing is added after the stop text was found.
  std::string Add(std::string_view bytes);
  /// What was held back, at the end of the text.
  std::string Finish();
  bool stopped() const { return stopped_; }

 private:
  std::string stop_, held_;
  bool stopped_ = false;
};

/// Replaces what is no UTF-8 by U+FFFD. A character that is cut off at the end is left out, and its length
/// set in `cut`.
std::string CleanUtf8(std::string_view bytes, std::size_t& cut);

}  // namespace forge::cli
