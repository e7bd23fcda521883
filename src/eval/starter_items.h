// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "eval/item.h"

namespace forge::eval {

/// The tasks of the starter suite. One line of text each; a newline ends it.
///   math        "m 3245  [" -> "520]=0": a start value and K digits to add mod 7, filled up with spaces to
///   six
///               characters; the states are written, then the last one again. Correct if what follows "=" is.
///   direct      "m 3245  =" -> "0": the same without writing the states; what the reasoning stage works on.
///   code        "c rev abc>" -> "cba": string programs rev, rot (first letter to the end), upp, dbl, srt.
///   structured  "s h9 c1 b5?2>" -> "c1": records; ?1.. the n-th record, ?K keys, ?V values, ?R reversed, ?S
///   keys sorted.
enum class StarterDomain { kMath, kCode, kStructured, kDirect };
std::string_view Name(StarterDomain domain);
inline constexpr StarterDomain kStarterDomains[] = {StarterDomain::kMath, StarterDomain::kCode,
                                                    StarterDomain::kStructured};

/// The split that an item belongs to, by the hash of its prompt (math and direct share theirs, so that a
/// direct test item was never trained on in the written form): 3/20 test, 1/20 selection, 2/20 search, 14/20
/// training.
Split SplitOf(std::string_view prompt);

/// The number of additions of a math or direct item, uniform in a range.
struct StarterItemOptions {
  int min_operations = 2, max_operations = 5;
};
/// Always `operations` additions.
inline StarterItemOptions Exactly(int operations) { return {operations, operations}; }

/// Item `index` of a stream; items of one split only. Pure in (domain, split, seed, index). May repeat a
/// prompt.
Item MakeStarterItem(StarterDomain domain, Split split, std::uint64_t seed, std::uint64_t index,
                     const StarterItemOptions& options = {});

/// `count` items with distinct prompts. Throws Error(kInput) if the split has not that many.
std::vector<Item> StarterItems(StarterDomain domain, Split split, std::uint64_t seed, int count,
                               const StarterItemOptions& options = {});

/// The states that a math prompt ("m 3245  [", or with "=") goes through: "520".
std::string StatesOf(std::string_view prompt);

struct StarterTaskSizes {
  int search = 100, selection = 150, test = 500;
};
/// math, code and structured with exact match. The items do not depend on a training seed.
std::vector<DomainItems> StarterTasks(const StarterTaskSizes& sizes);

}  // namespace forge::eval
