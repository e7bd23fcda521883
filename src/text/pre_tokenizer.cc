// SPDX-License-Identifier: Apache-2.0
#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "text/utf8.h"

namespace forge::text {
namespace {

/// The tokenizers' regular expressions are Oniguruma's, where \s is Unicode's White_Space. PCRE2's \s has
/// U+180E besides, so spell the class out: \p{Z}, tab to carriage return, U+0085.
std::string TranslatePattern(const std::string& pattern) {
  constexpr const char* kSpace = R"(\p{Z}\x09-\x0d\x{85})";
  std::string result;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        result += in_class ? std::string(kSpace) : std::string("[") + kSpace + "]";
      } else if (escaped == 'S' && !in_class) {
        result += std::string("[^") + kSpace + "]";
      } else {
        result += {c, escaped};
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    result += c;
  }
  return result;
}

}  // namespace

class PreTokenizer::Pattern {
 public:
  Pattern(const std::string& pattern, const std::string& source)
      : name_("the split pattern " + pattern + " of " + source) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    const std::string translated = TranslatePattern(pattern);
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    if (code_ == nullptr) {
      throw Error({.kind = ErrorKind::kInput,
                   .what = "cannot use " + name_,
                   .why = ErrorText(error) + " at character " + std::to_string(offset),
                   .fix = "choose a tokenizer of the GPT-2, SmolLM, Qwen2 or Llama 3 kind"});
    }
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
  }
  ~Pattern() { pcre2_code_free(code_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  /// `text` must be UTF-8: PCRE2 does not look again, which would cost the whole text for each match.
  void Split(std::string_view text, std::vector<std::string_view>& pieces) const {
    constexpr std::uint32_t kOptions = PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK;
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
        pcre2_match_data_create_from_pattern(code_, nullptr), &pcre2_match_data_free);
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t position = 0;
    while (position < text.size()) {
      int count = pcre2_match(code_, subject, text.size(), position, kOptions, data.get(), nullptr);
      if (count == PCRE2_ERROR_JIT_STACKLIMIT)
        count =
            pcre2_match(code_, subject, text.size(), position, kOptions | PCRE2_NO_JIT, data.get(), nullptr);
      if (count == PCRE2_ERROR_NOMATCH) break;
      if (count < 0)
        throw Error({.kind = ErrorKind::kInput,
                     .what = "cannot apply " + name_,
                     .why = ErrorText(count) + " after byte " + std::to_string(position) + " of the text",
                     .fix = "cut the text there, or choose a tokenizer with a simpler pattern"});
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
      if (range[1] <= position) break;  // \K in a lookahead; not in any tokenizer we know
      if (range[0] > position) pieces.push_back(text.substr(position, range[0] - position));
      pieces.push_back(text.substr(range[0], range[1] - range[0]));
      position = range[1];
    }
    if (position < text.size()) pieces.push_back(text.substr(position));
  }

 private:
  static std::string ErrorText(int error) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    return reinterpret_cast<const char*>(message);
  }

  std::string name_;
  pcre2_code* code_;
};

PreTokenizer::PreTokenizer(const std::vector<std::string>& patterns, const std::string& source, Engine engine)
    : scanner_(engine == Engine::kScanner ? FindScanner(patterns) : nullptr) {
  if (scanner_ != nullptr) return;
  for (const std::string& pattern : patterns) patterns_.push_back(std::make_unique<Pattern>(pattern, source));
}

PreTokenizer::~PreTokenizer() = default;

std::vector<std::string_view> PreTokenizer::Split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  ForEachPiece(text, [&](std::string_view piece) { pieces.push_back(piece); });
  return pieces;
}

std::vector<std::string_view> PreTokenizer::SplitByPatterns(std::string_view text) const {
  std::vector<std::string_view> pieces;
  if (patterns_.empty() && !text.empty()) return {text};
  for (std::size_t begin = 0; begin < text.size();) {
    const bool valid = DecodeUtf8(text.substr(begin)).valid;
    std::size_t end = begin;
    for (Utf8Character next; end < text.size(); end += next.length) {
      next = DecodeUtf8(text.substr(end));
      if (next.valid != valid) break;
    }
    std::vector<std::string_view> stretch{text.substr(begin, end - begin)};
    for (std::size_t i = 0; valid && i < patterns_.size(); ++i) {
      std::vector<std::string_view> finer;
      for (const std::string_view piece : stretch) patterns_[i]->Split(piece, finer);
      stretch = std::move(finer);
    }
    pieces.insert(pieces.end(), stretch.begin(), stretch.end());
    begin = end;
  }
  return pieces;
}

}  // namespace forge::text
