// SPDX-License-Identifier: Apache-2.0
#include "eval/starter_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "base/philox.h"

namespace forge::eval {
namespace {

constexpr std::uint32_t kModulus = 7;
constexpr std::uint64_t kTaskSeed =
    2024;  // of the evaluation items; fixed, so that all runs are compared on the same ones

char Digit(std::uint32_t value) { return static_cast<char>('0' + value); }

/// Every sum ends at the same place, so that the k-th state can look for the k-th digit by position.
std::string MathProblem(Random& random, const StarterItemOptions& options) {
  constexpr std::size_t kWidth = 6;
  std::string digits(1, Digit(random.Below(10)));
  const std::uint32_t range = static_cast<std::uint32_t>(options.max_operations - options.min_operations + 1);
  const std::uint32_t operations = static_cast<std::uint32_t>(options.min_operations) + random.Below(range);
  for (std::uint32_t i = 0; i < operations; ++i) digits += Digit(random.Below(10));
  digits.resize(std::max(kWidth, digits.size()), ' ');
  return "m " + digits;
}

Item CodeItem(Random& random) {
  static const std::array<std::string, 5> programs{"rev", "rot", "upp", "dbl", "srt"};
  const std::uint32_t program = random.Below(5), length = 3 + random.Below(4);
  std::string text, result;
  for (std::uint32_t i = 0; i < length; ++i) text += static_cast<char>('a' + random.Below(8));
  result = text;
  switch (program) {
    case 0:
      std::reverse(result.begin(), result.end());
      break;
    case 1:
      std::rotate(result.begin(), result.begin() + 1, result.end());
      break;
    case 2:
      for (char& c : result) c = static_cast<char>(c - 'a' + 'A');
      break;
    case 3:
      result.clear();
      for (const char c : text) result += {c, c};
      break;
    default:
      std::sort(result.begin(), result.end());
  }
  return {"c " + programs[program] + " " + text + ">", result + "\n"};
}

Item StructuredItem(Random& random) {
  std::string keys = "abcdefgh", values = "0123456789";
  const std::uint32_t records = 3 + random.Below(2);
  for (std::uint32_t i = 0; i < records; ++i) {  // the first `records` entries of a shuffle
    std::swap(keys[i], keys[i + random.Below(8 - i)]);
    std::swap(values[i], values[i + random.Below(10 - i)]);
  }
  keys.resize(records);
  values.resize(records);
  std::string prompt = "s", answer;
  for (std::uint32_t i = 0; i < records; ++i) prompt += {' ', keys[i], values[i]};
  std::string query;
  switch (random.Below(5)) {
    case 0:
      query = "K";
      answer = keys;
      break;
    case 1:
      query = "V";
      answer = values;
      break;
    case 2:
      query = "R";
      for (std::uint32_t i = records; i-- > 0;) answer += {keys[i], values[i]};
      break;
    case 3: {
      const std::uint32_t n = random.Below(records);
      query = std::string(1, Digit(n + 1));
      answer = {keys[n], values[n]};
      break;
    }
    default:
      query = "S";
      answer = keys;
      std::sort(answer.begin(), answer.end());
  }
  return {prompt + "?" + query + ">", answer + "\n"};
}

Item Draw(StarterDomain domain, Random& random, const StarterItemOptions& options) {
  switch (domain) {
    case StarterDomain::kCode:
      return CodeItem(random);
    case StarterDomain::kStructured:
      return StructuredItem(random);
    case StarterDomain::kMath: {
      const std::string problem = MathProblem(random, options), states = StatesOf(problem);
      return {problem + "[", states + "]=" + states.back() + "\n"};
    }
    case StarterDomain::kDirect:
      break;
  }
  const std::string problem = MathProblem(random, options);
  return {problem + "=", std::string(1, StatesOf(problem).back()) + "\n"};
}

}  // namespace

std::string_view Name(StarterDomain domain) {
  switch (domain) {
    case StarterDomain::kMath:
      return "math";
    case StarterDomain::kCode:
      return "code";
    case StarterDomain::kStructured:
      return "structured";
    case StarterDomain::kDirect:
      return "direct";
  }
  return "?";
}

std::string StatesOf(std::string_view prompt) {
  std::string states;
  std::uint32_t state = 0;
  bool first = true;
  for (const char c : prompt) {
    if (c < '0' || c > '9') continue;
    state = (state + static_cast<std::uint32_t>(c - '0')) % kModulus;
    if (!first) states += Digit(state);
    first = false;
  }
  return states;
}

Split SplitOf(std::string_view prompt) {
  if (prompt.starts_with("m ") && (prompt.ends_with("[") || prompt.ends_with("="))) prompt.remove_suffix(1);
  std::uint64_t hash = StableHash(prompt);
  hash ^= hash >> 32;
  const std::uint64_t part = hash % 20;
  return part < 3 ? Split::kTest : part < 4 ? Split::kSelection : part < 6 ? Split::kSearch : Split::kTrain;
}

Item MakeStarterItem(StarterDomain domain, Split split, std::uint64_t seed, std::uint64_t index,
                     const StarterItemOptions& options) {
  Random random(seed, fmt::format("starter/{}/{}", Name(domain), Name(split)), index);
  for (;;) {  // a split holds at least 1/20 of all prompts
    Item item = Draw(domain, random, options);
    if (SplitOf(item.prompt) == split) return item;
  }
}

std::vector<Item> StarterItems(StarterDomain domain, Split split, std::uint64_t seed, int count,
                               const StarterItemOptions& options) {
  std::vector<Item> items;
  std::set<std::string> seen;
  for (std::uint64_t index = 0; static_cast<int>(items.size()) < count; ++index) {
    if (index > 50u * static_cast<std::uint64_t>(count) + 1000)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = fmt::format("there are fewer than {} different {} items of {}", count, Name(split),
                                       Name(domain)),
                   .why = "the space of prompts is limited",
                   .fix = "ask for fewer items"});
    Item item = MakeStarterItem(domain, split, seed, index, options);
    if (seen.insert(item.prompt).second) items.push_back(std::move(item));
  }
  return items;
}

std::vector<DomainItems> StarterTasks(const StarterTaskSizes& sizes) {
  std::vector<DomainItems> tasks;
  for (const StarterDomain domain : kStarterDomains)
    tasks.push_back({.name = std::string(Name(domain)),
                     .search = StarterItems(domain, Split::kSearch, kTaskSeed, sizes.search),
                     .selection = StarterItems(domain, Split::kSelection, kTaskSeed, sizes.selection),
                     .test = StarterItems(domain, Split::kTest, kTaskSeed, sizes.test)});
  return tasks;
}

}  // namespace forge::eval
