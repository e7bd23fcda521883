// SPDX-License-Identifier: Apache-2.0
#include "eval/answer_extraction.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "text/jinja/strings.h"

namespace forge::eval {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";
constexpr std::string_view kPunctuation =
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";  // Python's string.punctuation

std::string Stripped(const std::string& text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

std::optional<std::string> SelectMatch(const FilterStep& step, const std::string& text) {
  const std::vector<std::vector<std::string>> matches = step.regex[0].FindAll(text);
  const auto count = static_cast<int>(matches.size());
  const int place = step.group_select < 0 ? count + step.group_select : step.group_select;
  if (place < 0 || place >= count) return std::nullopt;
  for (const std::string& group : matches[static_cast<std::size_t>(place)])
    if (!group.empty()) return Stripped(group);
  return matches[0].size() == 1 ? std::optional<std::string>("") : std::nullopt;
}

std::string FirstCodeBlock(const std::string& text) {
  const std::size_t fence = text.find("```");
  if (fence == std::string::npos) return text;
  const std::size_t line = text.find('\n', fence);
  if (line == std::string::npos) return text;
  return text.substr(line + 1, text.find("```", line) - (line + 1));  // not closed: to the end
}

/// One step; nullopt where it finds nothing.
std::optional<std::string> Apply(const FilterStep& step, const std::string& text) {
  if (step.function == "regex") return SelectMatch(step, text);
  if (step.function == "boxed") return LastBoxed(text);
  if (step.function == "code_block") return FirstCodeBlock(text);
  if (step.function == "remove_whitespace") return Stripped(text);
  if (step.function == "lowercase") return text::jinja::Lower(text);
  if (step.function == "uppercase") return text::jinja::Upper(text);
  return text;  // take_first
}

std::string WithoutIgnored(const TaskMetric& metric, std::string text) {
  for (const Pattern& pattern : metric.regexes_to_ignore) text = pattern.Replace(text, "");
  if (metric.ignore_case) text = text::jinja::Lower(text);
  if (metric.ignore_punctuation)
    std::erase_if(text, [](char c) { return kPunctuation.find(c) != std::string_view::npos; });
  if (metric.ignore_numbers) std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
  return text;
}

}  // namespace

ExtractedAnswer ExtractAnswer(const AnswerFilter& filter, const std::string& text) {
  ExtractedAnswer answer{text};
  for (const FilterStep& step : filter.steps) {
    const std::optional<std::string> found = Apply(step, answer.text);
    answer = {found.value_or(step.fallback), answer.is_parsed && found.has_value()};
  }
  return answer;
}

bool IsExactMatch(const TaskMetric& metric, const std::string& answer, const std::string& target) {
  return WithoutIgnored(metric, answer) == WithoutIgnored(metric, target);
}

std::optional<double> NumberIn(const std::string& text) {
  std::string digits = Stripped(text);
  std::erase_if(digits, [](char c) { return c == ',' || c == '$' || c == '%' || c == ' '; });
  if (digits.ends_with('.')) digits.pop_back();
  if (digits.starts_with('+')) digits.erase(0, 1);
  double number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size())
    return std::nullopt;
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

bool IsSameNumber(const std::string& answer, const std::string& target) {
  const std::optional<double> a = NumberIn(answer), b = NumberIn(target);
  return a && b && std::abs(*a - *b) <= 1e-6 * std::max({1.0, std::abs(*a), std::abs(*b)});
}

std::optional<std::string> LastBoxed(const std::string& solution) {
  std::size_t at = std::string::npos, after = 0;
  for (const std::string_view command : {"\\boxed", "\\fbox"})
    if (const std::size_t found = solution.rfind(command);
        found != std::string::npos && (at == std::string::npos || found > at)) {
      at = found;
      after = found + command.size();
    }
  if (at == std::string::npos) return std::nullopt;
  if (solution.substr(after, 1) == " ")  // "\boxed 5$"
    return Stripped(solution.substr(after, solution.find('$', after) - after));
  if (solution.substr(after, 1) != "{") return std::nullopt;
  int depth = 0;
  for (std::size_t i = after; i < solution.size(); ++i) {
    if (solution[i] == '{') ++depth;
    if (solution[i] == '}' && --depth == 0) return solution.substr(after + 1, i - after - 1);
  }
  return std::nullopt;
}

}  // namespace forge::eval
