// SPDX-License-Identifier: Apache-2.0
#include "runtime/rotary_table.h"

#include <cmath>

#include "model/rope.h"

namespace forge::runtime {

void RotateHeads(float* row, std::size_t heads, std::size_t half, const float* cosines, const float* sines) {
  for (std::size_t head = 0; head < heads; ++head, row += 2 * half)
    for (std::size_t i = 0; i < half; ++i) {
      const float first = row[i], second = row[i + half];
      row[i] = first * cosines[i] - second * sines[i];
      row[i + half] = second * cosines[i] + first * sines[i];
    }
}

RotaryTable::RotaryTable(const model::ModelConfig& config, std::size_t positions)
    : half_(static_cast<std::size_t>(config.head_dim / 2)) {
  const std::vector<double> frequencies = model::RopeFrequencies(config);
  for (std::size_t position = 0; position < positions; ++position)
    for (const double frequency : frequencies) {
      const float angle = static_cast<float>(position) * static_cast<float>(frequency);
      cosines_.push_back(std::cos(angle));
      sines_.push_back(std::sin(angle));
    }
}

void RotaryTable::Rotate(float* row, std::size_t heads, std::size_t position) const {
  RotateHeads(row, heads, half_, cosines_.data() + position * half_, sines_.data() + position * half_);
}

}  // namespace forge::runtime
