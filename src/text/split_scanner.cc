// SPDX-License-Identifier: Apache-2.0
#include "text/split_scanner.h"

#include "text/tokenizer_data.h"
#include "text/unicode_class.h"

namespace forge::text {
namespace {

using enum CharacterClass;

/// The text from a position on, by classes.
class Cursor {
 public:
  Cursor(std::string_view text, std::size_t position)
      : classes_(&UnicodeClasses::Get()), text_(text), position_(position) {
    Look();
  }

  bool AtEnd() const { return length_ == 0; }
  CharacterClass character_class() const { return class_; }
  std::size_t position() const { return position_; }
  unsigned char byte() const { return static_cast<unsigned char>(text_[position_]); }
  bool AtNewline() const { return !AtEnd() && (byte() == '\n' || byte() == '\r'); }
  bool Is(CharacterClass wanted) const { return !AtEnd() && class_ == wanted; }

  void Advance() {
    position_ += length_;
    Look();
  }
  void SkipAll(CharacterClass wanted) {
    while (Is(wanted)) Advance();
  }

 private:
  void Look() {
    length_ = 0;
    if (position_ < text_.size()) class_ = classes_->At(text_, position_, length_);
  }

  const UnicodeClasses* classes_;
  std::string_view text_;
  std::size_t position_, length_ = 0;
  CharacterClass class_ = kOther;
};

/// Bytes of 's 't 're 've 'm 'll 'd at `position`, which holds an apostrophe; 0 if it is none of them.
/// Without regard to case also 'ſ (U+017F), as full Unicode case folding has it.
std::size_t ContractionLength(std::string_view text, std::size_t position, bool ignore_case) {
  const auto at = [&](std::size_t i) -> char {
    if (position + i >= text.size()) return '\0';
    const char c = text[position + i];
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  switch (at(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return at(2) == 'e' ? 3 : 0;
    case 'l':
      return at(2) == 'l' ? 3 : 0;
    default:
      return ignore_case && text.substr(position + 1).starts_with("\u017f") ? 3 : 0;
  }
}

/// `\s+(?!\S)|\s+` for spaces that end at `end`, where `last` is the position of the last one: all of them at
/// the end of the text, else all but the last, else that one.
std::size_t SpacesEnd(std::size_t begin, std::size_t last, std::size_t end, bool before_nothing) {
  return before_nothing || last == begin ? end : last;
}

/// What is left of the text for a look-ahead: nothing at the end, before bytes that are not UTF-8, and before
/// a digit that was cut off already.
template <bool kDigitsApart>
bool BeforeNothing(const Cursor& cursor) {
  return cursor.AtEnd() || cursor.Is(kInvalid) || (kDigitsApart && cursor.Is(kNumber));
}

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
/// With kDigitsApart every \p{N} has been made a piece of its own first.
template <bool kDigitsApart>
std::size_t Gpt2PieceEnd(std::string_view text, std::size_t begin) {
  Cursor cursor(text, begin);
  if (cursor.byte() == '\'')
    if (const std::size_t length = ContractionLength(text, begin, false)) return begin + length;
  if (cursor.byte() == ' ') {
    cursor.Advance();
    if (BeforeNothing<kDigitsApart>(cursor)) return cursor.position();
    if (cursor.Is(kSpace)) cursor = Cursor(text, begin);
  }
  if (kDigitsApart && cursor.Is(kNumber)) {
    cursor.Advance();
    return cursor.position();
  }
  if (!cursor.Is(kSpace)) {
    cursor.SkipAll(cursor.character_class());
    return cursor.position();
  }
  std::size_t last = begin;
  for (; cursor.Is(kSpace); cursor.Advance()) last = cursor.position();
  return SpacesEnd(begin, last, cursor.position(), BeforeNothing<kDigitsApart>(cursor));
}

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kMaxDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*
/// |\s*[\r\n]+|\s+(?!\S)|\s+
template <int kMaxDigits>
std::size_t Llama3PieceEnd(std::string_view text, std::size_t begin) {
  Cursor cursor(text, begin);
  if (cursor.byte() == '\'')
    if (const std::size_t length = ContractionLength(text, begin, true)) return begin + length;
  if (cursor.Is(kInvalid)) {
    cursor.SkipAll(kInvalid);
    return cursor.position();
  }
  if (cursor.Is(kNumber)) {
    for (int digits = 0; digits < kMaxDigits && cursor.Is(kNumber); ++digits) cursor.Advance();
    return cursor.position();
  }
  Cursor next = cursor;
  if (!cursor.Is(kLetter) && !cursor.AtNewline()) next.Advance();
  if (next.Is(kLetter)) {
    next.SkipAll(kLetter);
    return next.position();
  }
  if (cursor.byte() == ' ' && next.Is(kOther)) cursor = next;
  if (cursor.Is(kOther)) {
    cursor.SkipAll(kOther);
    while (cursor.AtNewline()) cursor.Advance();
    return cursor.position();
  }
  std::size_t last = begin, after_newline = begin;
  for (; cursor.Is(kSpace);) {
    last = cursor.position();
    const bool newline = cursor.AtNewline();
    cursor.Advance();
    if (newline) after_newline = cursor.position();
  }
  if (after_newline > begin) return after_newline;
  return SpacesEnd(begin, last, cursor.position(), BeforeNothing<false>(cursor));
}

}  // namespace

PieceEnd FindScanner(const std::vector<std::string>& patterns) {
  const auto are = [&](std::vector<std::string> wanted) { return patterns == wanted; };
  if (are({kGpt2Pattern})) return &Gpt2PieceEnd<false>;
  if (are({kDigitPattern, kGpt2Pattern})) return &Gpt2PieceEnd<true>;
  if (are({kQwen2Pattern})) return &Llama3PieceEnd<1>;
  if (are({kLlama3Pattern})) return &Llama3PieceEnd<3>;
  return nullptr;
}

}  // namespace forge::text
