// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace forge::model {
namespace {

double Angle(const ModelConfig& config, int pair) {
  return std::pow(config.rope_theta, -2.0 * pair / config.head_dim);
}

double Llama3Divisor(const RopeScaling& scaling, double angle) {
  const double rotations = scaling.original_max_position_embeddings * angle / (2 * std::numbers::pi);
  if (rotations > scaling.high_freq_factor) return 1;
  if (rotations < scaling.low_freq_factor) return scaling.factor;
  const double share =
      (rotations - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return 1 / (share + (1 - share) / scaling.factor);
}

}  // namespace

std::vector<double> RopeFrequencies(const ModelConfig& config) {
  std::vector<double> frequencies;
  const double factor =
      config.rope_scaling.type == RopeScaling::Type::kLinear ? config.rope_scaling.factor : 1;
  const std::vector<double> divisors = RopeDivisors(config);
  for (int pair = 0; pair < config.head_dim / 2; ++pair)
    frequencies.push_back(Angle(config, pair) / factor / divisors[static_cast<std::size_t>(pair)]);
  return frequencies;
}

std::vector<double> RopeDivisors(const ModelConfig& config) {
  std::vector<double> divisors(static_cast<std::size_t>(config.head_dim / 2), 1.0);
  if (config.rope_scaling.type != RopeScaling::Type::kLlama3) return divisors;
  for (int pair = 0; pair < config.head_dim / 2; ++pair)
    divisors[static_cast<std::size_t>(pair)] = Llama3Divisor(config.rope_scaling, Angle(config, pair));
  return divisors;
}

std::optional<RopeScaling> Llama3ScalingOf(std::span<const float> divisors, const ModelConfig& config) {
  if (divisors.empty()) return std::nullopt;
  ModelConfig candidate = config;
  candidate.rope_scaling = {.type = RopeScaling::Type::kLlama3,
                            .factor = *std::max_element(divisors.begin(), divisors.end()),
                            .low_freq_factor = 1,
                            .high_freq_factor = 4,
                            .original_max_position_embeddings = 8192};
  const std::vector<double> expected = RopeDivisors(candidate);
  if (expected.size() != divisors.size()) return std::nullopt;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!(std::fabs(divisors[i] - expected[i]) <= 1e-5 * expected[i])) return std::nullopt;
  return candidate.rope_scaling;
}

}  // namespace forge::model
