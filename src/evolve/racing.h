// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/config_field.h"

namespace forge::evolve {

struct RaceConfig {
  std::string test = "paired_t";
  double error_rate = 0.05;
  double score_range = 1;
  int least_items = 16;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("test", test, OneOf{{"paired_t", "bernstein"}},
          "paired_t: for any scores, about normal means; bernstein: exact for scores of a known range, "
          "slower.");
    visit("error_rate", error_rate, InRange{1e-9, 0.5},
          "Probability with which the race may lose a candidate that belongs to the best.");
    visit("score_range", score_range, InRange{0, 1e9},
          "bernstein: highest less lowest possible score of an item.");
    visit("least_items", least_items, InRange{3, 1'000'000}, "Items before anything is decided.");
  }
};

/// Which candidates of a race stay in: sequential elimination on common items (Maron and Moore 1994,
/// "Hoeffding races"; by paired differences as in F-race, Birattari et al. 2002).
///
///   scores      [candidates][items]  higher is better; the same items, in the same order, for all (those
///   still
///                                    racing), n of them
///   num_kept    how many the race is to find; candidates are never reduced below that
///   look        1, 2, ..: the how-manieth time this race is looked at
///   returns     indices that stay, ascending
///
/// A candidate leaves when num_kept others are surely better than it, each by a one-sided test of the paired
/// differences at level error_rate / (look (look + 1)) / (candidates - 1). The levels sum to error_rate over
/// all looks and rivals (Bonferroni), so the best candidate leaves with at most that probability. Tests:
///   paired_t   mean / sqrt(variance / n) above the quantile of Student's t with n - 1 degrees of freedom;
///              all n differences equal and positive count as sure
///   bernstein  mean > sqrt(2 v ln(2/d) / n) + 7 r ln(2/d) / (3 (n - 1)), r twice the score range (Maurer and
///              Pontil 2009, arXiv:0907.3740, theorem 4): holds for any distribution of that range
/// Throws Error if the config is out of range or the lengths differ. O(candidates^2 n).
std::vector<std::size_t> SurvivorsOfRace(const std::vector<std::vector<double>>& scores, std::size_t num_kept,
                                         int look, const RaceConfig& config);

/// P(T > t) for Student's t with `degrees` > 0 degrees of freedom, by the continued fraction of the
/// incomplete beta function (Abramowitz and Stegun 26.5.8 and 26.7.1). Relative accuracy about 1e-10.
double StudentUpperTail(double t, double degrees);

}  // namespace forge::evolve
