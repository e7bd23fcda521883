// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/statistics.h"

namespace forge::compress {

/// A higher score is better; [domain][item].
using Scores = std::vector<std::vector<double>>;

/// What is left of a domain's score. Where scores are negative (minus nats) it is before / after, so that
/// more is better there too.
struct DomainRetention {
  std::string domain;
  int items = 0;
  double before = 0, after = 0;  // mean scores
  double retention = 0;          // 0 if the score before was 0
  std::optional<eval::Interval>
      interval;  // paired bootstrap over the items, 95 %; nothing if it is undefined
  /// (after - chance) / (before - chance): 0 for a guesser. Nothing where chance is not known or the score
  /// before was not above it.
  std::optional<double> corrected;
  /// Where every score is 0 or 1: Wilson intervals at 95 %, and McNemar's mid-p of the paired items.
  std::optional<eval::Interval> before_interval, after_interval;
  std::optional<double> p;
};

struct Retention {
  std::vector<DomainRetention> domains;
  double mean = 0;  // over the domains
  std::optional<eval::Interval> interval;
  double worst() const;  // of the domains
};
/// Both [domain][item], the same items.
///   chance  [domain] the mean score of a guesser; may be empty
Retention CompareScores(const Scores& before, const Scores& after, const std::vector<std::string>& domains,
                        std::uint64_t seed, const std::vector<double>& chance = {});

}  // namespace forge::compress
