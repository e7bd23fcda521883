// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include "evolve/search_algorithm.h"

namespace forge::evolve {

/// The start points, then points uniform in the box: what any other search has to be better than (Bergstra
/// and Bengio 2012). Learns nothing but the best.
class RandomSearch : public SearchAlgorithm {
 public:
  explicit RandomSearch(SearchOptions options) : SearchAlgorithm(std::move(options)) {}
  double SpreadLeft() const override { return kUniformDeviation; }

 protected:
  Proposal Propose(std::uint64_t id) override {
    Random random(options().seed, "evolve/random", id);
    return {.point = box().RandomPoint(random), .origin = "random"};
  }
  int IndependentProposals() const override { return std::numeric_limits<int>::max(); }
  void Learn(const Proposal&, const Outcome&) override {}
};

}  // namespace forge::evolve
