// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace forge::eval {

/// The canonical form of a LaTeX answer, so that ways of writing the same one become equal. What Hendrycks et
/// al. 2021 (arXiv:2103.03874) normalise for MATH, with the same results on their worked cases:
///   spacing and sizes go       \! \, \; \quad \left \right, spaces, $ around
///   one kind of fraction       \dfrac12 \tfrac{1}2 1/2 0.5 -> \frac{1}{2}
///   arguments get braces       \sqrt3 -> \sqrt{3}
///   units and signs go         10\text{ cm}, 45^\circ, 25\%, \$5
///   a short left side goes     x = 5 -> 5
///   numbers                    .5 -> 0.5, 1,000 -> 1000
/// Beyond them: \text{north} -> north, a full stop at the end goes.
std::string CanonicalMath(const std::string& latex);

/// The canonical forms are equal, or both are numbers or fractions of the same value (0.25 and \frac14).
bool IsSameMath(const std::string& answer, const std::string& target);

}  // namespace forge::eval
