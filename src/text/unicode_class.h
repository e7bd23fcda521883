// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/utf8.h"

namespace forge::text {

/// The classes that the tokenizers' regular expressions tell apart: \p{L}, \p{N}, \s (White_Space) and the
/// rest. kInvalid is a byte that belongs to no UTF-8 character; no class of a regular expression matches it.
enum class CharacterClass : std::uint8_t { kOther, kLetter, kNumber, kSpace, kInvalid };

/// Unicode 16 (unicode_ranges.inc), the version of Hugging Face tokenizers 0.23. A table look-up; the table
/// (1.1 MB, of which mostly a few pages are touched) is filled at first use in well under a millisecond.
class UnicodeClasses {
 public:
  static const UnicodeClasses& Get();

  CharacterClass Of(char32_t code) const { return static_cast<CharacterClass>(table_[code]); }
  CharacterClass OfAscii(unsigned char byte) const { return static_cast<CharacterClass>(table_[byte]); }
  /// The class of the character at `position` (which must be inside the text); `length` becomes its bytes.
  CharacterClass At(std::string_view text, std::size_t position, std::size_t& length) const {
    const auto byte = static_cast<unsigned char>(text[position]);
    if (byte < 0x80) {
      length = 1;
      return OfAscii(byte);
    }
    const Utf8Character next = DecodeUtf8(text.substr(position));
    length = next.length;
    return next.valid ? Of(next.code) : CharacterClass::kInvalid;
  }

 private:
  UnicodeClasses();
  const std::uint8_t* table_;
};

/// \w of Rust's regex crate, as far as general categories tell: letters, marks, decimal and letter numbers,
/// connectors, the two joiners and the circled or squared Latin letters.
bool IsWordCharacter(char32_t code);

}  // namespace forge::text
