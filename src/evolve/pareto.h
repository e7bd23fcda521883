// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace forge::evolve {

/// Objectives of one result, all to be high. All functions here take results of the same length, finite.
using Objectives = std::vector<double>;

/// Whether `a` is at least as good in every objective and better in one (Pareto domination).
bool Dominates(const Objectives& a, const Objectives& b);

/// Constrained domination (Deb et al. 2002, doi:10.1109/4235.996017, definition 1): the smaller violation
/// dominates; between two allowed results, and two of the same violation, Pareto domination decides.
bool DominatesWithin(const Objectives& a, double violation_a, const Objectives& b, double violation_b);

/// Fronts of indices, the non-dominated ones first, ascending within a front (fast non-dominated sort, Deb et
/// al. 2002, section III-A). `violations`: one for each point, or none. Equal points share a front. O(M N^2).
std::vector<std::vector<std::size_t>> NonDominatedFronts(std::span<const Objectives> points,
                                                         std::span<const double> violations = {});

/// Crowding distance of each point of `front` (indices into points), in its order: the sum over objectives of
/// the gap between its neighbours, in shares of the front's range; infinite at the ends of an objective (Deb
/// et al. 2002, section III-B). An objective of range 0 adds nothing. Of equal points at an end, the one of
/// lowest index is the end. O(M N log N).
std::vector<double> CrowdingDistances(std::span<const Objectives> points, std::span<const std::size_t> front);

/// Volume dominated by the points and above `reference`, for 1, 2 or 3 objectives; points that are not above
/// the reference in every objective add nothing. 2: a sweep, O(N log N); 3: slices of the third objective,
/// each a sweep (While et al. 2006), O(N^2 log N). Throws Error for another number of objectives.
double Hypervolume(std::span<const Objectives> points, const Objectives& reference);

/// Index of the knee of a front: each objective is scaled so that the front's lowest value is 0 and its
/// highest 1; the knee has the largest sum, which is the largest distance from the plane through the ends
/// (Das 1999). With two objectives the ends sum to 1, so a concave front has its knee
/// inside. An objective of range 0 does not count; the first of equals. The points must not be empty; those
/// that others dominate never win.
std::size_t KneePoint(std::span<const Objectives> points);

}  // namespace forge::evolve
