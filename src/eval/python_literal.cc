// SPDX-License-Identifier: Apache-2.0
#include "eval/python_literal.h"

#include <charconv>
#include <string>

namespace forge::eval {
namespace {

constexpr int kMaxDepth = 50;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void AppendUtf8(std::string& out, unsigned code) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    tail(12), tail(6), tail(0);
  }
}

/// Recursive descent; every function leaves position_ behind what it read and says whether it could.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::optional<io::OrderedJson> ReadAll() {
    io::OrderedJson value;
    if (!ReadValue(value)) return std::nullopt;
    SkipSpace();
    return position_ == text_.size() ? std::optional(value) : std::nullopt;
  }

 private:
  char Now() const { return position_ < text_.size() ? text_[position_] : '\0'; }
  void SkipSpace() {
    while (IsSpace(Now())) ++position_;
  }
  bool Take(char c) {
    SkipSpace();
    if (Now() != c) return false;
    ++position_;
    return true;
  }
  bool TakeWord(std::string_view word) {
    if (!text_.substr(position_).starts_with(word)) return false;
    position_ += word.size();
    return true;
  }

  bool ReadValue(io::OrderedJson& value) {
    if (++depth_ > kMaxDepth) return false;
    SkipSpace();
    const bool good = ReadKind(value);
    --depth_;
    return good;
  }

  bool ReadKind(io::OrderedJson& value) {
    if (Now() == '\'' || Now() == '"') {
      std::string text;
      if (!ReadString(text)) return false;
      value = text;
      return true;
    }
    if (Take('[')) return ReadEntries(value, ']');
    if (Take('(')) return ReadEntries(value, ')');
    if (Take('{')) return ReadDict(value);
    if (TakeWord("True")) return value = true, true;
    if (TakeWord("False")) return value = false, true;
    if (TakeWord("None")) return value = nullptr, true;
    return ReadNumber(value);
  }

  bool ReadEntries(io::OrderedJson& value, char close) {
    value = io::OrderedJson::array();
    while (!Take(close)) {
      io::OrderedJson entry;
      if (!ReadValue(entry)) return false;
      value.push_back(std::move(entry));
      if (!Take(',')) return Take(close);
    }
    return true;
  }

  bool ReadDict(io::OrderedJson& value) {
    value = io::OrderedJson::object();
    while (!Take('}')) {
      io::OrderedJson key, entry;
      if (!ReadValue(key) || !key.is_string() || !Take(':') || !ReadValue(entry)) return false;
      value[key.get<std::string>()] = std::move(entry);
      if (!Take(',')) return Take('}');
    }
    return true;
  }

  bool ReadNumber(io::OrderedJson& value) {
    const char* begin = text_.data() + position_;
    const char* end = text_.data() + text_.size();
    if (Now() != '-' && Now() != '.' && (Now() < '0' || Now() > '9')) return false;
    std::int64_t integer = 0;
    double number = 0;
    const auto whole = std::from_chars(begin, end, integer);
    const auto real = std::from_chars(begin, end, number);
    if (real.ec != std::errc()) return false;
    position_ += static_cast<std::size_t>(real.ptr - begin);
    if (whole.ec == std::errc() && whole.ptr == real.ptr)
      value = integer;
    else
      value = number;
    return true;
  }

  bool ReadString(std::string& out) {
    const char quote = Now();
    for (++position_; position_ < text_.size(); ++position_) {
      if (text_[position_] == quote) return ++position_, true;
      if (text_[position_] != '\\') {
        out += text_[position_];
        continue;
      }
      ++position_;
      if (!ReadEscape(out)) return false;
    }
    return false;
  }

  bool ReadEscape(std::string& out) {
    constexpr char kNames[] = "ntr\\'\"abfv0", kMeanings[] = "\n\t\r\\'\"\a\b\f\v";  // the last is \0
    const char c = Now();
    if (const std::size_t at = std::string_view(kNames).find(c); at != std::string_view::npos)
      return out += kMeanings[at], true;
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return out += '\\', out += c, true;  // Python keeps what it does not know
    unsigned code = 0;
    if (position_ + digits >= text_.size()) return false;
    const char* begin = text_.data() + position_ + 1;
    const auto read = std::from_chars(begin, begin + digits, code, 16);
    if (read.ptr != begin + digits || code > 0x10ffff) return false;
    AppendUtf8(out, code);
    position_ += digits;
    return true;
  }

  std::string_view text_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace

std::optional<io::OrderedJson> ParsePythonLiteral(std::string_view text) { return Reader(text).ReadAll(); }

}  // namespace forge::eval
