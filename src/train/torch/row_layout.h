// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "model/model_config.h"

namespace forge::train {

/// What all layers of a micro-batch share.
struct RowLayout {
  std::int64_t rows = 0, length = 0;
  at::Tensor cosine, sine;  // [rows, 1, length, head_dim / 2]
  at::Tensor mask;          // additive [rows, 1, length, length] in the compute type; undefined: causal
};

/// Of `rows` rows of `length` tokens.
///   positions  [rows, stride], of which the first `length` of a row are used: the position of each token in
///              its document, which sees nothing of those before it in the row; empty: one document a row
///   type       compute type, of the mask
RowLayout MakeRowLayout(const model::ModelConfig& config, std::int64_t rows, std::int64_t length,
                        std::span<const int> positions, std::int64_t stride, at::ScalarType type,
                        const at::Device& device);

}  // namespace forge::train
