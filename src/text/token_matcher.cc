// SPDX-License-Identifier: Apache-2.0
#include "text/token_matcher.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "text/unicode_class.h"

namespace forge::text {
namespace {

bool IsTrailByte(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Where the last character of `text` starts; `text` must not be empty.
std::size_t LastCharacter(std::string_view text) {
  std::size_t start = text.size() - 1;
  while (start > 0 && text.size() - start < 4 && IsTrailByte(text[start])) --start;
  return start;
}

bool StartsWithWord(std::string_view text) {
  if (text.empty()) return false;
  const Utf8Character first = DecodeUtf8(text);
  return first.valid && IsWordCharacter(first.code);
}

bool EndsWithWord(std::string_view text) {
  if (text.empty()) return false;
  const std::string_view last = text.substr(LastCharacter(text));
  return StartsWithWord(last) && DecodeUtf8(last).length == last.size();
}

std::size_t SpacesAtStart(std::string_view text) {
  const UnicodeClasses& classes = UnicodeClasses::Get();
  std::size_t end = 0;
  for (std::size_t length = 0; end < text.size(); end += length)
    if (classes.At(text, end, length) != CharacterClass::kSpace) break;
  return end;
}

/// Where the white space at the end of `text` starts.
std::size_t SpacesAtEnd(std::string_view text) {
  const UnicodeClasses& classes = UnicodeClasses::Get();
  while (!text.empty()) {
    const std::size_t start = LastCharacter(text);
    std::size_t length = 0;
    if (classes.At(text, start, length) != CharacterClass::kSpace || start + length != text.size()) break;
    text = text.substr(0, start);
  }
  return text.size();
}

}  // namespace

TokenMatcher::TokenMatcher(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const Token& a, const Token& b) { return a.text < b.text; });
  for (const bool with_control : {false, true}) {
    std::array<bool, 256>& starts = starts_[with_control];
    for (const Token& token : tokens_) {
      FORGE_CHECK(!token.text.empty());
      if (with_control || !token.is_control) starts[static_cast<unsigned char>(token.text[0])] = true;
    }
    const auto first = std::find(starts.begin(), starts.end(), true);
    const bool one = first != starts.end() && std::find(first + 1, starts.end(), true) == starts.end();
    only_start_[with_control] = one ? static_cast<int>(first - starts.begin()) : -1;
  }
}

std::size_t TokenMatcher::Candidate(std::string_view text, std::size_t position, bool with_control) const {
  if (tokens_.empty() || position >= text.size()) return text.size();
  if (only_start_[with_control] >= 0) {
    const void* found =
        std::memchr(text.data() + position, only_start_[with_control], text.size() - position);
    return found == nullptr ? text.size() : static_cast<const char*>(found) - text.data();
  }
  const std::array<bool, 256>& starts = starts_[with_control];
  while (position < text.size() && !starts[static_cast<unsigned char>(text[position])]) ++position;
  return position;
}

const TokenMatcher::Token* TokenMatcher::LongestAt(std::string_view text, std::size_t position,
                                                   bool with_control) const {
  const Token* longest = nullptr;
  auto first = tokens_.begin(), last = tokens_.end();  // those that agree with the text so far
  const std::string_view rest = text.substr(position);
  for (std::size_t length = 0; first != last; ++length) {
    for (auto whole = first; whole != last && whole->text.size() == length; ++whole)
      if (with_control || !whole->is_control) {
        longest = &*whole;
        break;
      }
    if (length == rest.size()) break;
    const auto byte_at = [&](const Token& token) {
      return length < token.text.size() ? static_cast<unsigned char>(token.text[length]) : -1;
    };
    const int byte = static_cast<unsigned char>(rest[length]);
    first =
        std::lower_bound(first, last, byte, [&](const Token& token, int b) { return byte_at(token) < b; });
    last = std::upper_bound(first, last, byte, [&](int b, const Token& token) { return b < byte_at(token); });
  }
  return longest;
}

std::vector<TokenMatcher::Match> TokenMatcher::FindAll(std::string_view text, bool with_control) const {
  std::vector<Match> matches;
  std::size_t done = 0;  // end of the last match
  for (std::size_t i = Candidate(text, 0, with_control); i < text.size();) {
    const Token* token = LongestAt(text, i, with_control);
    if (token == nullptr) {
      i = Candidate(text, i + 1, with_control);
      continue;
    }
    std::size_t begin = i, end = i + token->text.size();
    i = Candidate(text, end, with_control);  // past it, even if it does not count
    const std::string_view before = text.substr(0, begin), after = text.substr(end);
    if (token->rule.single_word && (EndsWithWord(before) || StartsWithWord(after))) continue;
    begin = std::max(begin, done);  // rstrip of the last one may have taken what this one starts with
    if (token->rule.lstrip) begin = done + SpacesAtEnd(text.substr(done, begin - done));
    if (token->rule.rstrip) end += SpacesAtStart(after);
    done = std::max(end, done);
    matches.push_back({begin, done, token->rule.id});
  }
  return matches;
}

bool TokenMatcher::IsAnyIn(std::string_view text, bool with_control) const {
  for (std::size_t i = Candidate(text, 0, with_control); i < text.size();
       i = Candidate(text, i + 1, with_control))
    if (LongestAt(text, i, with_control) != nullptr) return true;
  return false;
}

}  // namespace forge::text
