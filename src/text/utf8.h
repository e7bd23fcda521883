// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace forge::text {

/// What stands at the start of some bytes.
struct Utf8Character {
  char32_t code = 0;        // only if valid
  std::size_t length = 1;   // of the character, or of the bytes that cannot be one: never 0
  bool valid = false;       // a well-formed character (Unicode 16, table 3-7): no surrogate, not overlong
  bool incomplete = false;  // not valid, but more bytes after the last one could make it so
};

/// Reads one character; `bytes` must not be empty. Never looks past the end. The length of bytes that are no
/// character is that of the longest start of one (at least 1), so that each replaced length is what Unicode
/// recommends for U+FFFD.
Utf8Character DecodeUtf8(std::string_view bytes);

/// Adds the UTF-8 form of `code`. A surrogate becomes its three bytes, which are not valid UTF-8.
void AppendUtf8(char32_t code, std::string& text);

/// True if all of `bytes` is well-formed UTF-8.
bool IsUtf8(std::string_view bytes);

}  // namespace forge::text
