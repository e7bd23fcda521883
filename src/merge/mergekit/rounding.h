// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include "base/float16.h"
#include "io/float_type.h"

/// mergekit's numerics, op by op. A formula is written as torch executes it on a CPU, one `round` around each
/// operation; an expression between two of them is float32, as in torch's kernels.
namespace forge::merge::mergekit {

/// Rounds to a work type, to nearest even; the result is a float that the type can hold. Wide results (of a
/// reduction, or of a transcendental function in double) become float32 first, as in torch.
class Rounder {
 public:
  explicit Rounder(io::FloatType type) : type_(type) {}

  float operator()(float value) const {
    if (type_ == io::FloatType::kBF16) return BFloat16ToFloat(FloatToBFloat16(value));
    if (type_ == io::FloatType::kF16) return RoundToHalf(value);
    return value;
  }
  float operator()(double value) const { return (*this)(static_cast<float>(value)); }

 private:
  io::FloatType type_;
};

/// `value`, or `low` if it is below; NaN stays NaN, as with torch's clamp.
inline float AtLeast(float value, float low) { return value < low ? low : value; }
/// Between -1 and 1; NaN stays NaN.
inline float ClampCosine(float value) { return value < -1 ? -1.0f : value > 1 ? 1.0f : value; }

/// -1, 0 or 1; NaN has none of them and gives 0.
inline int SignOf(float value) { return (value > 0) - (value < 0); }

/// The sum of term(i) for i in [0, n), added up in double.
template <typename Term>
double SumOf(std::size_t n, Term term) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(term(i));
  return sum;
}

/// Euclidean length, in double.
inline double LengthOf(std::span<const float> values) {
  return std::sqrt(
      SumOf(values.size(), [&](std::size_t i) { return static_cast<double>(values[i]) * values[i]; }));
}

/// In double.
inline double DotProduct(std::span<const float> a, std::span<const float> b) {
  return SumOf(a.size(), [&](std::size_t i) { return static_cast<double>(a[i]) * b[i]; });
}

}  // namespace forge::merge::mergekit
