// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge::runtime {

/// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln(2)/2, exp(r) by its Taylor series to r^7 (relative
/// error below 2^-24 on that range). Inputs are clamped to [-87, 88]. The same steps in every target.
inline constexpr float kExpLowest = -87.0f, kExpHighest = 88.0f;
inline constexpr float kLog2OfE = 1.44269504f;
inline constexpr float kLn2High = 0.693359375f,
                       kLn2Low = -2.12194440e-4f;  // their sum is ln 2; Cody and Waite
inline constexpr float kExpCoefficients[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                             1.0f / 6,    0.5f,       1.0f,       1.0f};

}  // namespace forge::runtime
