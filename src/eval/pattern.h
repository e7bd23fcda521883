// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace forge::eval {

/// A regular expression of a task file, with the meaning that Python's `re` gives it as far as PCRE2 has the
/// same: Unicode, `$` also before a last newline, (?s) and the like inside. \Z is not known under that name.
class Pattern {
 public:
  /// Throws Error(kInput), naming `place`, for an expression that cannot be compiled.
  Pattern(const std::string& source, const std::string& place);

  /// As re.findall: one entry a match; the whole match if there is no group, else the groups in order, empty
  /// where a group took no part. Throws Error(kInput) if matching takes more steps than PCRE2 allows.
  std::vector<std::vector<std::string>> FindAll(std::string_view text) const;
  /// Where each match begins.
  std::vector<std::size_t> Places(std::string_view text) const;
  /// As re.sub: \1 .. \9 and \g<1> in the replacement stand for groups. `most` 0: all matches.
  std::string Replace(std::string_view text, std::string_view replacement, int most = 0) const;

 private:
  struct Compiled;
  struct Match;
  std::vector<Match> Matches(std::string_view text, std::size_t most) const;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace forge::eval
