// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace forge::eval {

struct Interval {
  double low = 0, high = 0;
};

/// Wilson's score interval at 95 % for `successes` of n (Wilson 1927). n = 0 gives [0, 1].
Interval WilsonInterval(int successes, int n);

/// Two arms on the same items: won = wrong in the first and right in the second, lost = the other way round.
struct PairedCounts {
  int won = 0, lost = 0;
};
PairedCounts CountPairs(const std::vector<bool>& first, const std::vector<bool>& second);

/// McNemar's exact two-sided p: min(1, 2 P[Binomial(won + lost, 1/2) <= min(won, lost)]); 1 if there are no
/// pairs.
double McNemarExact(PairedCounts counts);
/// The mid-p variant: the probability of the observed count is taken half (Fagerland et al. 2013); the one to
/// report.
double McNemarMidP(PairedCounts counts);

/// E-value against "both arms equally good" for "the second is better": 2 * integral over t in [1/2, 1] of
/// (2t)^won (2(1-t))^lost dt. May be looked at after every item; 20 or more rejects at 5 %.
double McNemarEValue(PairedCounts counts);

/// Percentile bootstrap interval at 95 % of a statistic of items: `statistic` gets the drawn indices. Draws
/// with which it returns nullopt (an undefined ratio) are left out; nullopt if that happens in more than 1 %
/// of them.
std::optional<Interval> Bootstrap(int items, std::uint64_t seed,
                                  const std::function<std::optional<double>(std::span<const int>)>& statistic,
                                  int draws = 2000);

/// Mean over domains of (mean of second - mean of first), items drawn within their domain; paired.
/// first, second [domains][items]: scores of the same items.
Interval BootstrapMeanDifference(const std::vector<std::vector<double>>& first,
                                 const std::vector<std::vector<double>>& second, std::uint64_t seed,
                                 int draws = 2000);

}  // namespace forge::eval
