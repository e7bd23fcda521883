// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "text/jinja/syntax.h"

namespace forge::text::jinja {
namespace {

bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

class Lexer {
 public:
  Lexer(std::string_view source, const Dialect& dialect) : dialect_(dialect) {
    for (std::size_t i = 0; i < source.size(); ++i) {  // every kind of line end becomes a newline
      if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
      text_ += source[i] == '\r' ? '\n' : source[i];
    }
    if (text_.ends_with('\n') && !dialect.keeps_last_newline) text_.pop_back();
    source_ = text_;
  }

  std::vector<Token> Run() {
    while (position_ < source_.size()) {
      const std::size_t tag = FindTag();
      AddText(tag);
      if (tag == std::string_view::npos) break;
      position_ = tag;
      if (source_[tag + 1] == '#')
        SkipComment();
      else
        LexTag(source_[tag + 1] == '%');
    }
    tokens_.push_back({Token::Kind::kEnd, "", line_});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void Refuse(const std::string& why) const {
    throw Error({.what = fmt::format("cannot read {}, line {}", dialect_.what, line_),
                 .why = why,
                 .fix = dialect_.fix});
  }

  std::size_t FindTag() const {
    for (std::size_t at = source_.find('{', position_); at != std::string_view::npos;
         at = source_.find('{', at + 1))
      if (at + 1 < source_.size() &&
          (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#'))
        return at;
    return std::string_view::npos;
  }

  char At(std::size_t index) const { return index < source_.size() ? source_[index] : '\0'; }

  void Advance(std::size_t count) {
    for (const std::size_t end = std::min(position_ + count, source_.size()); position_ < end; ++position_)
      if (source_[position_] == '\n') ++line_;
  }

  /// The text up to the tag at `tag`, without the white space that the tags on both sides take.
  void AddText(std::size_t tag) {
    const std::size_t end = std::min(tag, source_.size());
    std::string text(source_.substr(position_, end - position_));
    const int line = line_;
    const std::size_t start = position_;
    Advance(end - position_);
    std::size_t taken = 0;
    if (strip_next_) {
      while (taken < text.size() && IsSpace(text[taken])) ++taken;
    } else if (trim_newline_) {
      if (text.starts_with("\n")) taken = 1;
    }
    text.erase(0, taken);
    strip_next_ = trim_newline_ = false;
    if (tag != std::string_view::npos) {
      const char sign = At(tag + 2);
      if (sign == '-') {
        while (!text.empty() && IsSpace(text.back())) text.pop_back();
      } else if (dialect_.trims_blocks && sign != '+' &&
                 source_[tag + 1] != '{') {  // lstrip_blocks: of blocks and comments, not of output
        std::size_t blank = text.size();
        while (blank > 0 && (text[blank - 1] == ' ' || text[blank - 1] == '\t')) --blank;
        // The blanks reach back to the start of a line, or of the template.
        const bool at_line_start =
            blank > 0 ? text[blank - 1] == '\n' : start + taken == 0 || source_[start + taken - 1] == '\n';
        if (at_line_start) text.resize(blank);
      }
    }
    if (!text.empty()) tokens_.push_back({Token::Kind::kText, std::move(text), line});
  }

  void SkipComment() {
    const std::size_t end = source_.find("#}", position_ + 2);
    if (end == std::string_view::npos) Refuse("the comment is not closed with #}");
    strip_next_ = end > position_ + 2 && source_[end - 1] == '-';
    trim_newline_ = dialect_.trims_blocks;
    Advance(end + 2 - position_);
  }

  void LexTag(bool block) {
    tokens_.push_back({block ? Token::Kind::kBlockBegin : Token::Kind::kOutputBegin, "", line_});
    Advance(2);
    if (At(position_) == '-' || At(position_) == '+') Advance(1);
    const char close = block ? '%' : '}';
    std::string open;  // brackets, so that the } of a dict does not end the tag
    for (;;) {
      while (IsSpace(At(position_))) Advance(1);
      if (position_ >= source_.size()) Refuse(fmt::format("the tag is not closed with {}}}", close));
      const bool signed_end = (At(position_) == '-' || At(position_) == '+') && At(position_ + 1) == close &&
                              At(position_ + 2) == '}';
      if (open.empty() && (signed_end || (At(position_) == close && At(position_ + 1) == '}'))) {
        strip_next_ = signed_end && At(position_) == '-';
        trim_newline_ = dialect_.trims_blocks && block && !(signed_end && At(position_) == '+');
        Advance(signed_end ? 3 : 2);
        tokens_.push_back({block ? Token::Kind::kBlockEnd : Token::Kind::kOutputEnd, "", line_});
        return;
      }
      LexToken(open);
    }
  }

  void LexToken(std::string& open) {
    const char c = At(position_);
    if (IsNameStart(c)) {
      std::size_t end = position_;
      while (IsNameStart(At(end)) || IsDigit(At(end))) ++end;
      return Add(Token::Kind::kName, end - position_);
    }
    if (IsDigit(c)) return LexNumber();
    if (c == '"' || c == '\'') return LexString(c);
    for (const char* two : {"==", "!=", "<=", ">=", "//", "**"})
      if (source_.substr(position_, 2) == two) return Add(Token::Kind::kOperator, 2);
    if (std::string_view("+-*/%~()[]{}<>=.,:|").find(c) == std::string_view::npos)
      Refuse(fmt::format("the character '{}' has no meaning in a tag", c));
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) Refuse(fmt::format("'{}' closes nothing", c));
      open.pop_back();
    }
    Add(Token::Kind::kOperator, 1);
  }

  void Add(Token::Kind kind, std::size_t length) {
    tokens_.push_back({kind, std::string(source_.substr(position_, length)), line_});
    Advance(length);
  }

  void LexNumber() {
    std::size_t end = position_;
    while (IsDigit(At(end)) || At(end) == '_') ++end;
    bool is_float = false;
    if (At(end) == '.' && IsDigit(At(end + 1))) {
      is_float = true;
      for (++end; IsDigit(At(end)) || At(end) == '_';) ++end;
    }
    const std::size_t exponent = At(end + 1) == '+' || At(end + 1) == '-' ? end + 2 : end + 1;
    if ((At(end) == 'e' || At(end) == 'E') && IsDigit(At(exponent))) {
      is_float = true;
      for (end = exponent; IsDigit(At(end));) ++end;
    }
    Add(is_float ? Token::Kind::kFloat : Token::Kind::kInteger, end - position_);
    std::erase(tokens_.back().text, '_');
  }

  void LexString(char quote) {
    const int line = line_;
    std::string text;
    std::size_t at = position_ + 1;
    for (; At(at) != quote; ++at) {
      if (at >= source_.size()) Refuse("a string is not closed");
      if (source_[at] != '\\') {
        text += source_[at];
        continue;
      }
      ++at;
      switch (At(at)) {
        case 'n':
          text += '\n';
          break;
        case 't':
          text += '\t';
          break;
        case 'r':
          text += '\r';
          break;
        case '\\':
        case '\'':
        case '"':
          text += source_[at];
          break;
        case 'u':
          text += CodePoint(at);
          at += 4;
          break;
        default:  // Python keeps the backslash of an escape that it does not know
          text += '\\';
          if (at < source_.size()) text += source_[at];
      }
    }
    Advance(at + 1 - position_);
    tokens_.push_back({Token::Kind::kString, std::move(text), line});
  }

  /// The UTF-8 of \uXXXX, whose u is at `at`.
  std::string CodePoint(std::size_t at) const {
    const io::Json parsed = io::Json::parse(
        "\"\\u" + std::string(source_.substr(std::min(at + 1, source_.size()), 4)) + "\"", nullptr, false);
    if (!parsed.is_string()) Refuse("\\u is not followed by the four digits of a character");
    return parsed.get<std::string>();
  }

  const Dialect& dialect_;
  std::string text_;
  std::string_view source_;  // of text_
  std::size_t position_ = 0;
  int line_ = 1;
  bool strip_next_ = false, trim_newline_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Lex(std::string_view source, const Dialect& dialect) {
  return Lexer(source, dialect).Run();
}

}  // namespace forge::text::jinja
