// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.h"

namespace forge::text {
namespace {

/// Bytes that a character with this first byte has; 0 if none starts with it.
std::size_t LengthByLead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

}  // namespace

Utf8Character DecodeUtf8(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  const std::size_t length = LengthByLead(lead);
  if (length == 1) return {.code = lead, .length = 1, .valid = true};
  if (length == 0) return {};
  char32_t code = lead & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= bytes.size()) return {.length = i, .incomplete = true};
    unsigned char low = 0x80, high = 0xbf;
    if (i == 1) {  // no overlong form, no surrogate, nothing above U+10FFFF
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    }
    if (at(i) < low || at(i) > high) return {.length = i};
    code = code << 6 | (at(i) & 0x3fu);
  }
  return {.code = code, .length = length, .valid = true};
}

void AppendUtf8(char32_t code, std::string& text) {
  const auto trail = [](char32_t bits) { return static_cast<char>(0x80 | (bits & 0x3f)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += {static_cast<char>(0xc0 | code >> 6), trail(code)};
  } else if (code < 0x10000) {
    text += {static_cast<char>(0xe0 | code >> 12), trail(code >> 6), trail(code)};
  } else {
    text += {static_cast<char>(0xf0 | code >> 18), trail(code >> 12), trail(code >> 6), trail(code)};
  }
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Character next = DecodeUtf8(bytes);
    if (!next.valid) return false;
    bytes.remove_prefix(next.length);
  }
  return true;
}

}  // namespace forge::text
