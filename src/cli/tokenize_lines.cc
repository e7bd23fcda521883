// SPDX-License-Identifier: Apache-2.0
#include "cli/tokenize_lines.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "text/json_text.h"

namespace forge::cli {
namespace {

using text::JsonProblem;

[[noreturn]] void ThrowEnvironment(const char* what) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = what,
               .why = std::strerror(errno),
               .fix = "check the pipe or file that it is connected to"});
}

class LineTokenizer {
 public:
  LineTokenizer(const text::Tokenizer& tokenizer, const LineOptions& options)
      : tokenizer_(tokenizer), options_(options) {}

  /// Adds the answer to `line` to `answers`, with its newline.
  void Answer(std::string_view line, std::string& answers) {
    ++number_;
    const std::optional<JsonProblem> problem =
        options_.decode ? Decode(line, answers) : Encode(line, answers);
    if (!problem) return;
    throw Error({.kind = ErrorKind::kInput,
                 .what = fmt::format("cannot {} line {} of the input", options_.decode ? "decode" : "encode",
                                     number_),
                 .why = fmt::format("at byte {}: {}", problem->offset, problem->what),
                 .fix = options_.decode ? "give one JSON array of ids on each line: [1, 2, 3]"
                                        : "give one JSON string on each line: \"Hello\\nworld\""});
  }

 private:
  std::optional<JsonProblem> Encode(std::string_view line, std::string& answers) {
    std::size_t position = text::SkipJsonSpace(line, 0);
    std::string_view text;
    if (auto problem = text::ReadJsonString(line, position, text::JsonBytes::kAny, text, buffer_))
      return problem;
    if (auto problem = CheckEnd(line, position)) return problem;
    std::vector<int> ids = tokenizer_.Encode(text, !options_.plain);
    if (options_.special) ids = tokenizer_.WithTemplate(std::move(ids));
    char separator = '[';
    for (const int id : ids) {
      char digits[16];
      const auto end = std::to_chars(digits, digits + sizeof digits, id).ptr;
      answers += separator;
      answers.append(digits, end);
      separator = ',';
    }
    answers += ids.empty() ? "[]\n" : "]\n";
    return std::nullopt;
  }

  std::optional<JsonProblem> Decode(std::string_view line, std::string& answers) {
    ids_.clear();
    std::size_t position = text::SkipJsonSpace(line, 0);
    const auto take = [&](char wanted) {
      position = text::SkipJsonSpace(line, position);
      const bool found = position < line.size() && line[position] == wanted;
      position += found;
      return found;
    };
    if (!take('[')) return JsonProblem{position, "here should be '['"};
    if (!take(']')) {
      do {
        position = text::SkipJsonSpace(line, position);
        const std::size_t start = position;
        long long id = 0;
        if (auto problem = text::ReadJsonInteger(line, position, id)) return problem;
        if (id < 0 || id >= tokenizer_.size())
          return JsonProblem{start, fmt::format("there is no token {}; the tokenizer knows 0 to {}", id,
                                                tokenizer_.size() - 1)};
        ids_.push_back(static_cast<int>(id));
      } while (take(','));
      if (!take(']')) return JsonProblem{position, "here should be ',' or ']'"};
    }
    if (auto problem = CheckEnd(line, position)) return problem;
    const std::span<const int> ids = options_.special ? tokenizer_.WithoutTemplate(ids_) : ids_;
    text::AppendJsonString(tokenizer_.Decode(ids), answers);
    answers += '\n';
    return std::nullopt;
  }

  static std::optional<JsonProblem> CheckEnd(std::string_view line, std::size_t position) {
    position = text::SkipJsonSpace(line, position);
    if (position == line.size()) return std::nullopt;
    return JsonProblem{position, "the line should end here"};
  }

  const text::Tokenizer& tokenizer_;
  const LineOptions& options_;
  std::string buffer_;
  std::vector<int> ids_;
  std::size_t number_ = 0;
};

/// Writes all of `answers` and empties it.
void Flush(std::string& answers, std::FILE* output) {
  if (std::fwrite(answers.data(), 1, answers.size(), output) != answers.size() || std::fflush(output) != 0)
    ThrowEnvironment("cannot write to standard output");
  answers.clear();
}

/// Adds what can be read now to `text`, or waits for it; false at the end of the input.
bool ReadMore(int input, std::string& text) {
  constexpr std::size_t kChunk = 1 << 18;
  const std::size_t size = text.size();
  text.resize(size + kChunk);
  ssize_t count = 0;
  do count = read(input, text.data() + size, kChunk);
  while (count < 0 && errno == EINTR);
  if (count < 0) ThrowEnvironment("cannot read from standard input");
  text.resize(size + static_cast<std::size_t>(count));
  return count > 0;
}

}  // namespace

void TokenizeLines(const text::Tokenizer& tokenizer, const LineOptions& options, int input, std::FILE* output,
                   const StopToken& stop) {
  constexpr std::size_t kEnough = 1 << 20;  // bytes of answers that are worth a write
  LineTokenizer lines(tokenizer, options);
  std::string text, answers;
  std::size_t begin = 0, looked = 0;  // of the line that is being read; up to where there is no newline
  try {
    for (bool more = true; more;) {
      more = ReadMore(input, text);
      for (std::size_t end; (end = text.find('\n', looked)) != std::string::npos; begin = looked = end + 1) {
        lines.Answer(std::string_view(text).substr(begin, end - begin), answers);
        if (answers.size() >= kEnough) Flush(answers, output);
        if (stop.stop_requested())
          throw Error({.kind = ErrorKind::kInterrupted,
                       .what = "stopped on request",
                       .why = "not all lines have been answered",
                       .fix = "run the same command again"});
      }
      text.erase(0, begin);
      looked = text.size();
      begin = 0;
      Flush(answers, output);
    }
    if (!text.empty()) lines.Answer(text, answers);
  } catch (const Error&) {
    Flush(answers, output);
    throw;
  }
  Flush(answers, output);
}

}  // namespace forge::cli
