// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_document.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/json_text.h"

namespace forge::text {
namespace {

/// Finds the way through a JSON text by its brackets, keys and strings.
class Walker {
 public:
  Walker(std::string_view text, const std::string& source, std::deque<std::string>& unescaped)
      : text_(text), source_(source), unescaped_(unescaped) {}

  std::size_t position() const { return position_; }

  char Peek() {
    position_ = SkipJsonSpace(text_, position_);
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    ++position_;
    return true;
  }
  void Expect(char wanted) {
    if (!Take(wanted)) Fail({position_, fmt::format("here should be '{}'", wanted)});
  }
  std::string_view String() {
    Peek();
    std::string_view text;
    if (auto problem = ReadJsonString(text_, position_, JsonBytes::kStrict, text, buffer_)) Fail(*problem);
    if (text.data() == buffer_.data() && !text.empty()) text = unescaped_.emplace_back(text);
    return text;
  }
  long long Integer() {
    Peek();
    long long value = 0;
    if (auto problem = ReadJsonInteger(text_, position_, value)) Fail(*problem);
    return value;
  }
  /// Calls `item` before each item of the object or array that starts here; it must go past the item.
  template <class Item>
  void ForEach(char open, char close, const Item& item) {
    Expect(open);
    if (Take(close)) return;
    do item();
    while (Take(','));
    Expect(close);
  }
  /// Goes past a value without looking into it; one that is nested too deep is refused.
  void Skip() {
    int depth = 0;
    do {
      const char c = Peek();
      if (c == '"') {
        SkipString();
      } else if (c == '{' || c == '[') {
        if (++depth > kMaxDepth) Fail({position_, "values are nested too deep"});
        ++position_;
      } else if (c == '}' || c == ']') {
        --depth;
        ++position_;
      } else if (c == ',' || c == ':') {
        ++position_;
      } else {
        position_ = std::min(text_.find_first_of(",:{}[]\" \n\t\r", position_), text_.size());
      }
    } while (depth > 0 && position_ < text_.size());
    if (depth != 0) Fail({position_, "the file ends inside a value"});
  }

  [[noreturn]] void Fail(const JsonProblem& problem) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot parse " + source_,
                 .why = fmt::format("at byte {}: {}", problem.offset, problem.what),
                 .fix = "the file must be valid JSON; copy or write it again"});
  }

 private:
  void SkipString() {
    for (++position_; position_ < text_.size(); ++position_) {
      if (text_[position_] == '\\') {
        ++position_;
      } else if (text_[position_] == '"') {
        ++position_;
        return;
      }
    }
    Fail({position_, "the file ends inside a string"});
  }

  static constexpr int kMaxDepth = 64;  // real files have 6; what reads the values is recursive

  std::string_view text_;
  const std::string& source_;
  std::deque<std::string>& unescaped_;
  std::string buffer_;
  std::size_t position_ = 0;
};

/// A part of the text and what stands there instead.
struct Replacement {
  std::size_t begin, end;
  const char* text;
};

void ReadVocabulary(Walker& walker, TokenizerDocument& document) {
  walker.ForEach('{', '}', [&] {
    const std::string_view token = walker.String();
    walker.Expect(':');
    document.vocabulary.emplace_back(token, walker.Integer());
  });
}

void ReadMerges(Walker& walker, TokenizerDocument& document) {
  walker.ForEach('[', ']', [&] {
    TokenizerDocument::Merge merge{.is_pair = walker.Peek() == '['};
    if (merge.is_pair) {
      walker.Expect('[');
      merge.first = walker.String();
      walker.Expect(',');
      merge.second = walker.String();
      walker.Expect(']');
    } else {
      merge.first = walker.String();
    }
    document.merges.push_back(merge);
  });
}

/// Reads vocab and merges of the object "model" and returns where they are.
std::vector<Replacement> ReadLargeParts(Walker& walker, TokenizerDocument& document) {
  std::vector<Replacement> replacements;
  const auto read = [&](const char* instead, auto reader) {
    const std::size_t begin = walker.position();
    reader(walker, document);
    replacements.push_back({begin, walker.position(), instead});
  };
  walker.ForEach('{', '}', [&] {
    const bool is_model = walker.String() == "model";
    walker.Expect(':');
    if (!is_model || walker.Peek() != '{') return walker.Skip();
    walker.ForEach('{', '}', [&] {
      const std::string_view key = walker.String();
      walker.Expect(':');
      const char next = walker.Peek();
      if (key == "vocab" && next == '{' && document.vocabulary.empty()) return read("{}", &ReadVocabulary);
      if (key == "merges" && next == '[' && document.merges.empty()) return read("[]", &ReadMerges);
      walker.Skip();
    });
  });
  return replacements;
}

}  // namespace

TokenizerDocument::TokenizerDocument(std::string text, const std::string& source) : text_(std::move(text)) {
  Walker walker(text_, source, unescaped_);
  std::string rest;
  std::size_t copied = 0;
  if (walker.Peek() == '{') {
    for (const Replacement& part : ReadLargeParts(walker, *this)) {
      rest.append(text_, copied, part.begin - copied);
      rest += part.text;
      copied = part.end;
    }
  }
  rest.append(text_, copied);
  try {
    json = io::ParseJson(rest, source);
  } catch (const Error&) {
    io::ParseJson(text_, source);  // throws too, but with the offset in the file
    throw;
  }
}

}  // namespace forge::text
