// SPDX-License-Identifier: Apache-2.0
#include "text/byte_alphabet.h"

#include <array>

namespace forge::text {
namespace {

constexpr unsigned kAlphabetEnd = 256 + 68;

struct Alphabet {
  std::array<std::string, 256> spelling;
  std::array<int, kAlphabetEnd> byte_of;  // by code point; -1: not in the alphabet
};

Alphabet MakeAlphabet() {
  Alphabet alphabet;
  alphabet.byte_of.fill(-1);
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const unsigned code = visible ? byte : next++;
    alphabet.byte_of[code] = static_cast<int>(byte);
    std::string& text = alphabet.spelling[byte];
    if (code < 0x80) {
      text = static_cast<char>(code);
    } else {
      text = {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
    }
  }
  return alphabet;
}

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet = MakeAlphabet();
  return alphabet;
}

}  // namespace

const std::string& SpellByte(unsigned char byte) { return TheAlphabet().spelling[byte]; }

std::string SpellBytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += SpellByte(static_cast<unsigned char>(byte));
  return text;
}

bool AppendBytesOfSpelling(std::string_view spelling, std::string& bytes) {
  const std::size_t before = bytes.size();
  const auto fail = [&] {
    bytes.resize(before);
    return false;
  };
  for (std::size_t i = 0; i < spelling.size(); ++i) {
    unsigned code = static_cast<unsigned char>(spelling[i]);
    if (code >= 0x80) {
      if (code < 0xc2 || code > 0xdf || i + 1 == spelling.size()) return fail();
      const unsigned low = static_cast<unsigned char>(spelling[++i]);
      if ((low & 0xc0) != 0x80) return fail();
      code = ((code & 0x1f) << 6) | (low & 0x3f);
    }
    if (code >= kAlphabetEnd || TheAlphabet().byte_of[code] < 0) return fail();
    bytes += static_cast<char>(TheAlphabet().byte_of[code]);
  }
  return true;
}

}  // namespace forge::text
