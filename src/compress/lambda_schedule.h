// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace forge::compress {

/// How much of a weight is ternary at a step of training: W + lambda sg(Q(W) - W), sg stops the gradient, so
/// that it reaches W whole at every lambda. lambda is 0 at the first step and 1 from fraction * steps on
/// (Hugging Face's 1.58-bit experiments; bitnet-ternary.md 1.2); with u = step / (fraction * steps), cut at
/// 1:
///   linear   u
///   cosine   (1 - cos(pi u)) / 2
///   exp      1 - (1 - u)^k, k = 6
///   sigmoid  1 / (1 + exp(-k (u - 1/2))), k = 15, stretched to reach 0 and 1
///   step     u rounded down to a quarter
///   none     1 from the start
struct LambdaSchedule {
  enum class Shape { kLinear, kCosine, kExponential, kSigmoid, kStep, kNone };
  Shape shape = Shape::kLinear;
  double fraction = 0.4;  // of the steps; 0: as none
};

/// Of the names above. Throws Error(kUsage) for another.
LambdaSchedule::Shape LambdaShape(std::string_view name);

double Lambda(int step, int steps, const LambdaSchedule& schedule);

}  // namespace forge::compress
