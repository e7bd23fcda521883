// SPDX-License-Identifier: Apache-2.0
#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "text/tokenizer_data.h"
#include "text/utf8.h"

namespace forge::text {
namespace {

constexpr char32_t kCodePoints = 0x110000;
constexpr char32_t kFirstUnstable =
    0x300;  // below it every character is NFC and follows nothing it could join

std::string ComposeSorted(std::string_view text) {
  utf8proc_uint8_t* result = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &result,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  if (size < 0) throw std::bad_alloc();  // the text is UTF-8, so nothing else can go wrong
  return std::string(reinterpret_cast<const char*>(result), static_cast<std::size_t>(size));
}

/// Puts runs of combining marks in canonical order. utf8proc does so too, but in the square of their number.
std::string SortMarks(std::string_view text) {
  struct Character {
    int combining_class;
    std::string_view bytes;
  };
  std::vector<Character> characters;
  while (!text.empty()) {
    const Utf8Character next = DecodeUtf8(text);
    const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(next.code));
    characters.push_back({property->combining_class, text.substr(0, next.length)});
    text.remove_prefix(next.length);
  }
  std::string sorted;
  for (auto first = characters.begin(); first != characters.end();) {
    auto last = first + 1;
    while (last != characters.end() && (first->combining_class == 0) == (last->combining_class == 0)) ++last;
    if (first->combining_class != 0)
      std::stable_sort(first, last, [](const Character& a, const Character& b) {
        return a.combining_class < b.combining_class;
      });
    for (; first != last; ++first) sorted += first->bytes;
  }
  return sorted;
}

std::string Compose(std::string_view text) {
  constexpr std::size_t kMany = 256;  // bytes from which sorting first is worth a copy
  return text.size() > kMany ? ComposeSorted(SortMarks(text)) : ComposeSorted(text);
}

/// The characters that may be changed by NFC or joined to the one before them (Unicode's NFC_Quick_Check
/// other than Yes, or a combining class): all others bound what normalization can touch.
class UnstableCharacters {
 public:
  static bool Has(char32_t code) {
    static const UnstableCharacters characters;
    return characters.unstable_[code];
  }

 private:
  UnstableCharacters() : unstable_(kCodePoints) {
    for (char32_t code = kFirstUnstable; code < kCodePoints; ++code) {
      if (code == 0xac00) code = 0xd7a4;  // the Hangul syllables are stable; no decomposition needs a table
      const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code));
      if (property->combining_class != 0) unstable_[code] = true;
      if (property->decomp_type == 0 && property->decomp_seqindex != UINT16_MAX) NoteDecomposition(code);
    }
    for (char32_t jamo = 0x1161; jamo <= 0x1175; ++jamo) unstable_[jamo] = true;  // joins a leading consonant
    for (char32_t jamo = 0x11a8; jamo <= 0x11c2; ++jamo) unstable_[jamo] = true;  // joins a syllable
  }
  void NoteDecomposition(char32_t code) {
    std::string character;
    AppendUtf8(code, character);
    if (Compose(character) != character) unstable_[code] = true;
    utf8proc_int32_t parts[8];
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts, 8, UTF8PROC_DECOMPOSE, nullptr);
    if (count > 1 && count <= 8) unstable_[static_cast<char32_t>(parts[count - 1])] = true;
  }

  std::vector<bool> unstable_;
};

}  // namespace

std::string_view NormalizeNfc(std::string_view text, std::string& buffer) {
  buffer.clear();
  std::size_t copied = 0;       // what is in the buffer already
  std::size_t stable_from = 0;  // start of the last character that bounds normalization
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      stable_from = i++;
      continue;
    }
    const Utf8Character next = DecodeUtf8(text.substr(i));
    if (!next.valid || next.code < kFirstUnstable || !UnstableCharacters::Has(next.code)) {
      stable_from = next.valid ? i : i + next.length;
      i += next.length;
      continue;
    }
    std::size_t end = i + next.length;
    for (Utf8Character more; end < text.size(); end += more.length) {
      more = DecodeUtf8(text.substr(end));
      if (!more.valid || more.code < kFirstUnstable || !UnstableCharacters::Has(more.code)) break;
    }
    buffer.append(text.substr(copied, stable_from - copied));
    buffer += Compose(text.substr(stable_from, end - stable_from));
    copied = stable_from = i = end;
  }
  if (copied == 0) return text;
  buffer.append(text.substr(copied));
  return buffer;
}

std::string CollapseSpaces(std::string_view text) {
  std::string result;
  for (const char c : text)
    if (c != ' ' || (!result.empty() && result.back() != ' ')) result += c;
  const std::string_view sign = kSpaceSign;
  for (;;) {
    if (result.ends_with(' '))
      result.pop_back();
    else if (result.ends_with(sign))
      result.resize(result.size() - sign.size());
    else
      return result;
  }
}

std::string SpellSpaces(std::string_view text, bool prefix) {
  std::string result;
  if (prefix && !text.empty()) result += kSpaceSign;
  for (const char c : text) {
    if (c == ' ')
      result += kSpaceSign;
    else
      result += c;
  }
  return result;
}

}  // namespace forge::text
