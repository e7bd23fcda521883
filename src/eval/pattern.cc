// SPDX-License-Identifier: Apache-2.0
#include "eval/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "base/error.h"

namespace forge::eval {
namespace {

std::string PcreMessage(int error) {
  PCRE2_UCHAR message[256];
  pcre2_get_error_message(error, message, sizeof message);
  return reinterpret_cast<const char*>(message);
}

}  // namespace

struct Pattern::Compiled {
  ~Compiled() { pcre2_code_free(code); }
  pcre2_code* code = nullptr;
  std::string place;
};

struct Pattern::Match {
  std::size_t begin, end;
  std::vector<std::string> groups;
};

Pattern::Pattern(const std::string& source, const std::string& place) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->place = place;
  // MATCH_INVALID_UTF: what a model writes may be cut inside a character.
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr);
  if (compiled->code == nullptr)
    throw Error({.what = "cannot use the regular expression in " + place,
                 .why = fmt::format("{} (at character {} of {})", PcreMessage(error), offset, source),
                 .fix = "correct it; forge takes what Python's re and PCRE2 have in common"});
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
  compiled_ = std::move(compiled);
}

std::vector<Pattern::Match> Pattern::Matches(std::string_view text, std::size_t most) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(compiled_->code, nullptr), &pcre2_match_data_free);
  std::vector<Match> matches;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0, last_empty = std::string_view::npos;
  while (at <= text.size() && (most == 0 || matches.size() < most)) {
    // After an empty match Python looks for a longer one at the same place, as this option does.
    const std::uint32_t options = last_empty == at ? PCRE2_NOTEMPTY_ATSTART : 0;
    const int count = pcre2_match(compiled_->code, subject, text.size(), at, options, data.get(), nullptr);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0)
      throw Error({.what = "cannot apply the regular expression in " + compiled_->place,
                   .why = PcreMessage(count),
                   .fix = "write it so that it needs fewer attempts (no nested repetitions)"});
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    Match match{range[0], range[1], {}};
    for (std::uint32_t i = 0; i < pcre2_get_ovector_count(data.get()); ++i)
      match.groups.emplace_back(range[2 * i] == PCRE2_UNSET
                                    ? std::string_view()
                                    : text.substr(range[2 * i], range[2 * i + 1] - range[2 * i]));
    at = match.end;
    if (match.begin == match.end) last_empty = at;
    matches.push_back(std::move(match));
  }
  return matches;
}

std::vector<std::vector<std::string>> Pattern::FindAll(std::string_view text) const {
  std::vector<std::vector<std::string>> found;
  for (Match& match : Matches(text, 0)) {
    if (match.groups.size() > 1) match.groups.erase(match.groups.begin());
    found.push_back(std::move(match.groups));
  }
  return found;
}

std::vector<std::size_t> Pattern::Places(std::string_view text) const {
  std::vector<std::size_t> places;
  for (const Match& match : Matches(text, 0)) places.push_back(match.begin);
  return places;
}

std::string Pattern::Replace(std::string_view text, std::string_view replacement, int most) const {
  std::string out;
  std::size_t copied = 0;
  for (const Match& match : Matches(text, static_cast<std::size_t>(most))) {
    out += text.substr(copied, match.begin - copied);
    copied = match.end;
    for (std::size_t i = 0; i < replacement.size(); ++i) {
      const bool escaped = replacement[i] == '\\' && i + 1 < replacement.size();
      const std::string_view rest = replacement.substr(std::min(i + 1, replacement.size()));
      if (escaped && rest[0] >= '1' && rest[0] <= '9') {
        const auto group = static_cast<std::size_t>(rest[0] - '0');
        if (group < match.groups.size()) out += match.groups[group];
        ++i;
      } else if (escaped && rest.size() >= 4 && rest.starts_with("g<") && rest[3] == '>') {
        const auto group = static_cast<std::size_t>(rest[2] - '0');
        if (group < match.groups.size()) out += match.groups[group];
        i += 4;
      } else if (escaped && (rest[0] == 'n' || rest[0] == '\\')) {
        out += rest[0] == 'n' ? '\n' : '\\';
        ++i;
      } else {
        out += replacement[i];
      }
    }
  }
  out += text.substr(copied);
  return out;
}

}  // namespace forge::eval
