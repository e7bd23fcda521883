// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "base/config_field.h"
#include "evolve/search_algorithm.h"

namespace forge::evolve {

struct MapElitesConfig {
  int bins = 10;
  int initial_points = 100;
  double iso_deviation = 0.01;
  double line_deviation = 0.2;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("bins", bins, InRange{1, 10'000}, "Cells of the archive along each descriptor.");
    visit("initial_points", initial_points, InRange{1, 1'000'000},
          "Start points and random points before children are made.");
    visit("iso_deviation", iso_deviation, InRange{0, 1},
          "Standard deviation of a child in every dimension, as a share of the box's width.");
    visit("line_deviation", line_deviation, InRange{0, 10},
          "Standard deviation of a child along the line to another elite, as a share of their distance.");
  }
};

/// MAP-Elites (Mouret and Clune 2015, arXiv:1504.04909) with the iso+line operator (Vassiliades and Mouret
/// 2018, arXiv:1804.03906; its defaults): an archive with one cell for each combination of binned descriptors
/// keeps the best result of each cell; children come from two elites drawn uniformly. For one objective; each
/// successful Outcome has as many descriptors as there are ranges.
///
/// `descriptor_ranges` [low, high] of each descriptor; values outside go to the outermost bins. Results come
/// in any order: only the archive matters. A result that equals the elite's does not replace it. Failures,
/// and results with a descriptor that is not finite, are not kept. Cells are stored only when filled.
class MapElites : public SearchAlgorithm {
 public:
  using Cell = std::vector<int>;

  /// Throws Error if the config is out of range, or the descriptor ranges are.
  MapElites(SearchOptions options, Box descriptor_ranges, const MapElitesConfig& config);

  double SpreadLeft() const override;  // of the elites
  const std::map<Cell, Evaluated>& archive() const { return archive_; }
  /// Filled cells / all cells.
  double Coverage() const;
  /// Sum of the elites' objectives above `floor`, the QD-score (Pugh et al. 2016).
  double QualityDiversity(double floor) const;

 protected:
  Proposal Propose(std::uint64_t id) override;
  /// The rest of the random ones.
  int IndependentProposals() const override;
  /// Throws Error if the number of descriptors is wrong.
  void Learn(const Proposal& proposal, const Outcome& outcome) override;

 private:
  const Evaluated& RandomElite(Random& random) const;

  Box ranges_;
  MapElitesConfig config_;
  std::map<Cell, Evaluated> archive_;
  std::vector<Cell> filled_;  // in the order in which they were filled: drawn from in O(1)
};

}  // namespace forge::evolve
