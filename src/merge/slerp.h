// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace forge::merge {

/// Above this |cosine| two vectors count as parallel and are mixed linearly: sin(theta) would be lost in
/// rounding.
inline constexpr double kCollinearCosine = 0.9995;

/// Spherical interpolation (Shoemake 1985) between a (t = 0) and b (t = 1) by the signed angle between them:
///   out = sin((1 - t) theta) / sin(theta) * a + sin(t theta) / sin(theta) * b,  cos(theta) = a.b / (|a| |b|)
/// applied to the un-normalised vectors. Linear when (anti)parallel or when one of them is zero.
///   a, b, out [n]; t in [0, 1]; out may be a or b. The dot product is summed in double.
void Slerp(std::span<const float> a, std::span<const float> b, double t, std::span<float> out);

}  // namespace forge::merge
