// SPDX-License-Identifier: Apache-2.0
#include "eval/math_answer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace forge::eval {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// A piece of LaTeX: a command with its backslash, a group with its braces, or one character.
struct Piece {
  std::string text;
  bool IsGroup() const { return text.size() > 1 && text[0] == '{'; }
  std::string Inside() const { return IsGroup() ? text.substr(1, text.size() - 2) : text; }
};

std::size_t EndOfGroup(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

std::vector<Piece> Cut(std::string_view text) {
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    if (text[at] == '\\' && end < text.size()) {
      if (IsLetter(text[end]))
        while (end < text.size() && IsLetter(text[end])) ++end;
      else
        ++end;
    } else if (const std::size_t close = text[at] == '{' ? EndOfGroup(text, at) : std::string_view::npos;
               close != std::string_view::npos) {
      end = close;
    }
    pieces.push_back({std::string(text.substr(at, end - at))});
    at = end;
  }
  return pieces;
}

bool IsOneOf(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

/// Commands that only set space or size, and signs that carry no value of their own.
bool IsDecoration(const Piece& piece) {
  return IsOneOf(piece.text, {"\\!",     "\\,",    "\\;",      "\\:",   "\\ ",   "\\quad",
                              "\\qquad", "\\left", "\\right",  "\\big", "\\Big", "\\displaystyle",
                              "\\$",     "$",      "\\%",      "%",     "\\(",   "\\)",
                              "\\[",     "\\]",    "\\degree", "~"});
}

bool IsTextCommand(const Piece& piece) {
  return IsOneOf(piece.text,
                 {"\\text", "\\textbf", "\\textrm", "\\textit", "\\mbox", "\\mathrm", "\\mathbf"});
}

/// Builds the canonical text piece by piece.
class Rewriter {
 public:
  explicit Rewriter(std::string_view latex) : pieces_(Cut(latex)) {}

  std::string Run() {
    while (at_ < pieces_.size()) Step();
    return std::move(out_);
  }

 private:
  void SkipSpace() {
    while (at_ < pieces_.size() && pieces_[at_].text.size() == 1 && IsSpace(pieces_[at_].text[0])) ++at_;
  }
  /// The next argument of a command, rewritten: a group's inside, or one piece.
  std::string Argument() {
    SkipSpace();
    return at_ < pieces_.size() ? Rewriter(pieces_[at_++].Inside()).Run() : "";
  }

  void Step() {
    const Piece& piece = pieces_[at_++];
    if (piece.text.size() == 1 && IsSpace(piece.text[0])) return;
    if (IsDecoration(piece)) return;
    if (piece.text == "^" && TakeDegrees()) return;
    if (IsTextCommand(piece)) return TakeText();
    if (IsOneOf(piece.text, {"\\frac", "\\dfrac", "\\tfrac", "\\cfrac"})) {
      const std::string numerator = Argument(), denominator = Argument();
      out_ += "\\frac{" + numerator + "}{" + denominator + "}";
    } else if (piece.text == "\\sqrt") {
      SkipSpace();
      if (at_ < pieces_.size() && pieces_[at_].text == "[") {  // \sqrt[3]{2}: its index stays as it is
        out_ += "\\sqrt";
        return;
      }
      out_ += "\\sqrt{" + Argument() + "}";
    } else if (piece.IsGroup()) {
      out_ += "{" + Rewriter(piece.Inside()).Run() + "}";
    } else if (piece.text == "." && (out_.empty() || !IsDigit(out_.back())) && at_ < pieces_.size() &&
               IsDigit(pieces_[at_].text[0])) {
      out_ += "0.";
    } else {
      out_ += piece.text;
    }
  }

  /// ^\circ and ^{\circ}: the degree sign.
  bool TakeDegrees() {
    if (at_ >= pieces_.size()) return false;
    std::string next = pieces_[at_].Inside();
    std::erase(next, ' ');
    if (next != "\\circ") return false;
    ++at_;
    return true;
  }

  /// Behind a value a text is its unit and goes; else its words stay.
  void TakeText() {
    SkipSpace();
    if (at_ >= pieces_.size()) return;
    const std::string inside = pieces_[at_++].Inside();
    const bool is_unit = !out_.empty() && (IsSpace(inside.empty() ? 'x' : inside[0]) || IsDigit(out_.back()));
    if (is_unit && std::any_of(inside.begin(), inside.end(), IsLetter)) {
      if (const std::string word = Rewriter(inside).Run(); word != "and" && word != "or") {
        if (at_ < pieces_.size() && pieces_[at_].text == "^")
          at_ = std::min(at_ + 2, pieces_.size());  // cm^2
        return;
      }
    }
    out_ += Rewriter(inside).Run();
  }

  std::vector<Piece> pieces_;
  std::size_t at_ = 0;
  std::string out_;
};

/// -12, 3.50; not 1e5.
std::optional<double> DecimalValue(std::string_view text) {
  double number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size() ||
      !std::isfinite(number))
    return std::nullopt;
  return number;
}

/// 1,000 or 12,345.6 as a whole.
bool HasThousands(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const std::size_t first = text.find(',');
  if (first == 0 || first > 3 ||
      !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(first), IsDigit))
    return false;
  text.remove_prefix(first);
  while (text.starts_with(',')) {
    if (text.size() < 4 || !IsDigit(text[1]) || !IsDigit(text[2]) || !IsDigit(text[3])) return false;
    text.remove_prefix(4);
  }
  return text.empty() || (text[0] == '.' && std::all_of(text.begin() + 1, text.end(), IsDigit));
}

bool IsWholeNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), IsDigit);
}

/// A decimal, or one fraction of two decimals, with a sign in front or inside.
std::optional<double> Value(std::string_view text) {
  if (const auto number = DecimalValue(text)) return number;
  const double sign = text.starts_with('-') ? -1 : 1;
  if (sign < 0) text.remove_prefix(1);
  constexpr std::string_view kFraction = "\\frac{";
  const std::size_t middle = text.find("}{");
  if (!text.starts_with(kFraction) || middle == std::string_view::npos || !text.ends_with('}'))
    return std::nullopt;
  const auto above = DecimalValue(text.substr(kFraction.size(), middle - kFraction.size()));
  const auto below = DecimalValue(text.substr(middle + 2, text.size() - middle - 3));
  if (!above || !below || *below == 0) return std::nullopt;
  return sign * *above / *below;
}

}  // namespace

std::string CanonicalMath(const std::string& latex) {
  std::string text = Rewriter(latex).Run();
  if (text.ends_with('.')) text.pop_back();
  if (const std::size_t equals = text.find('='); equals != std::string::npos && equals <= 2 && equals > 0 &&
                                                 text.find('=', equals + 1) == std::string::npos)
    text.erase(0, equals + 1);
  if (HasThousands(text)) std::erase(text, ',');
  if (text == "0.5") return "\\frac{1}{2}";
  if (const std::size_t slash = text.find('/'); slash != std::string::npos) {
    const std::string above = text.substr(0, slash), below = text.substr(slash + 1);
    if (IsWholeNumber(above) && IsWholeNumber(below)) return "\\frac{" + above + "}{" + below + "}";
  }
  return text;
}

bool IsSameMath(const std::string& answer, const std::string& target) {
  const std::string a = CanonicalMath(answer), b = CanonicalMath(target);
  if (a == b) return true;
  const std::optional<double> x = Value(a), y = Value(b);
  return x && y && std::abs(*x - *y) <= 1e-9 * std::max({1.0, std::abs(*x), std::abs(*y)});
}

}  // namespace forge::eval
