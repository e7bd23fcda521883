// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/philox.h"

namespace forge::evolve {

// Variation of points in unit coordinates. Parents must lie in [0, 1]; so do the children.

/// One of the two children of simulated binary crossover, by chance (Deb and Agrawal 1995; with bounds as in
/// Deb et al. 2002's code: the spread is cut off at the border, so that a child never has to be repaired).
/// Each dimension is crossed with probability 1/2. Children of a crossed dimension are the nearer to a parent
/// the larger `distribution_index` is (about 20).
std::vector<double> SimulatedBinaryCrossover(const std::vector<double>& a, const std::vector<double>& b,
                                             double distribution_index, Random& random);

/// Polynomial mutation (Deb and Goyal 1996; the bounded form): each dimension with probability `rate`, and
/// one chosen by chance always, unless rate is 0. The originals may leave a point as it is; evaluations are
/// too dear here for copies.
void PolynomialMutation(std::vector<double>& point, double distribution_index, double rate, Random& random);

/// The iso+line operator (Vassiliades and Mouret 2018, arXiv:1804.03906, equation 2): a + iso_deviation N(0,
/// I)
/// + line_deviation N(0, 1) (b - a), folded into the box.
std::vector<double> IsoLine(const std::vector<double>& a, const std::vector<double>& b, double iso_deviation,
                            double line_deviation, Random& random);

}  // namespace forge::evolve
