// SPDX-License-Identifier: Apache-2.0
#include "train/torch/row_layout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "model/rope.h"

namespace forge::train {
namespace {

/// Additive mask of rows that hold several documents; `positions` [rows, length].
at::Tensor DocumentMask(std::span<const std::int64_t> positions, std::int64_t rows, std::int64_t length) {
  at::Tensor mask = at::full({rows, 1, length, length}, -std::numeric_limits<float>::infinity(), at::kFloat);
  float* values = mask.mutable_data_ptr<float>();
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t t = 0; t < length; ++t) {
      const std::int64_t position = positions[static_cast<std::size_t>(row * length + t)];
      FORGE_CHECK(position >= 0 && position <= t);
      float* line = values + (row * length + t) * length;
      std::fill(line + t - position, line + t + 1, 0.0f);
    }
  return mask;
}

}  // namespace

RowLayout MakeRowLayout(const model::ModelConfig& config, std::int64_t rows, std::int64_t length,
                        std::span<const int> positions, std::int64_t stride, at::ScalarType type,
                        const at::Device& device) {
  RowLayout layout{.rows = rows, .length = length, .cosine = {}, .sine = {}, .mask = {}};
  std::vector<std::int64_t> used;
  bool is_packed = false;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t t = 0; t < length; ++t) {
      used.push_back(positions.empty() ? t : positions[static_cast<std::size_t>(row * stride + t)]);
      is_packed |= used.back() != t;
    }
  const std::vector<double> angles = model::RopeFrequencies(config);
  const at::Tensor frequencies = at::from_blob(const_cast<double*>(angles.data()),
                                               {static_cast<std::int64_t>(angles.size())}, at::kDouble)
                                     .to(at::kFloat)
                                     .to(device);
  const at::Tensor turned =
      (at::from_blob(used.data(), {rows, length, 1}, at::kLong).to(at::kFloat).to(device) * frequencies)
          .unsqueeze(1);
  layout.cosine = turned.cos();
  layout.sine = turned.sin();
  if (is_packed) layout.mask = DocumentMask(used, rows, length).to(device).to(type);
  return layout;
}

}  // namespace forge::train
