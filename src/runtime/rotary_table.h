// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "model/model_config.h"

namespace forge::runtime {

/// Turns each of the `heads` heads of a row [heads, 2 half] in place, elements i and i + half together by the
/// angle i of cosines and sines [half].
void RotateHeads(float* row, std::size_t heads, std::size_t half, const float* cosines, const float* sines);

/// Cosines and sines of the rotary positions 0 .. positions - 1 (model/rope.h), for texts that all start at
/// 0.
class RotaryTable {
 public:
  RotaryTable(const model::ModelConfig& config, std::size_t positions);

  /// RotateHeads of a row [heads, head_dim], in the half-split layout of Hugging Face.
  void Rotate(float* row, std::size_t heads, std::size_t position) const;

 private:
  std::size_t half_;                    // head_dim / 2
  std::vector<float> cosines_, sines_;  // [positions, half_]
};

}  // namespace forge::runtime
