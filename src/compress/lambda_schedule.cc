// SPDX-License-Identifier: Apache-2.0
#include "compress/lambda_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "base/error.h"

namespace forge::compress {
namespace {

constexpr double kExponent = 6, kSteepness = 15;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

LambdaSchedule::Shape LambdaShape(std::string_view name) {
  using Shape = LambdaSchedule::Shape;
  if (name == "linear") return Shape::kLinear;
  if (name == "cosine") return Shape::kCosine;
  if (name == "exp") return Shape::kExponential;
  if (name == "sigmoid") return Shape::kSigmoid;
  if (name == "step") return Shape::kStep;
  if (name == "none") return Shape::kNone;
  throw Error({.kind = ErrorKind::kUsage,
               .what = "there is no lambda schedule " + std::string(name),
               .why = "the schedules are linear, cosine, exp, sigmoid, step and none",
               .fix = "choose one of these"});
}

double Lambda(int step, int steps, const LambdaSchedule& schedule) {
  const double ramp = schedule.fraction * steps;
  const double u = ramp > 0 ? std::min(step / ramp, 1.0) : 1.0;
  if (u >= 1) return 1;
  switch (schedule.shape) {
    case LambdaSchedule::Shape::kLinear:
      return u;
    case LambdaSchedule::Shape::kCosine:
      return (1 - std::cos(std::numbers::pi * u)) / 2;
    case LambdaSchedule::Shape::kExponential:
      return 1 - std::pow(1 - u, kExponent);
    case LambdaSchedule::Shape::kSigmoid: {
      const double low = Sigmoid(-kSteepness / 2), high = Sigmoid(kSteepness / 2);
      return (Sigmoid(kSteepness * (u - 0.5)) - low) / (high - low);
    }
    case LambdaSchedule::Shape::kStep:
      return std::floor(4 * u) / 4;
    case LambdaSchedule::Shape::kNone:
      return 1;
  }
  return 1;
}

}  // namespace forge::compress
