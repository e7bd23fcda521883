// SPDX-License-Identifier: Apache-2.0
#include "compress/input_gram.h"

#include <algorithm>

#include "base/check.h"
#include "base/thread_pool.h"
#include "runtime/kernels/panel_product.h"

namespace forge::compress {
namespace {

using runtime::kPanelWidth;

constexpr std::size_t kDepth = 256;  // of one product: an x of 64 rows stays in the second cache
constexpr std::size_t kRowsPerTask = 64;

/// B [depth, columns] as panels, the last filled up with zeros.
std::vector<float> Panels(const float* b, std::size_t depth, std::size_t columns, std::size_t stride) {
  const std::size_t panels = (columns + kPanelWidth - 1) / kPanelWidth;
  std::vector<float> packed(panels * depth * kPanelWidth);
  ParallelFor(panels, 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t first = p * kPanelWidth, width = std::min<std::size_t>(kPanelWidth, columns - first);
      for (std::size_t k = 0; k < depth; ++k)
        std::copy_n(b + k * stride + first, width, packed.data() + (p * depth + k) * kPanelWidth);
    }
  });
  return packed;
}

}  // namespace

void MultiplyDense(const DenseProduct& product) {
  if (!product.accumulate && product.depth == 0)
    for (std::size_t row = 0; row < product.rows; ++row)
      std::fill_n(product.y + row * product.y_stride, product.columns, 0.0f);
  for (std::size_t first = 0; first < product.depth; first += kDepth) {
    const std::size_t depth = std::min(kDepth, product.depth - first);
    const std::vector<float> panels =
        Panels(product.b + first * product.b_stride, depth, product.columns, product.b_stride);
    ParallelFor((product.rows + kRowsPerTask - 1) / kRowsPerTask, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t task = begin; task < end; ++task) {
        const std::size_t row = task * kRowsPerTask;
        runtime::Multiply({.x = product.x + row * product.x_stride + first,
                           .x_stride = product.x_stride,
                           .rows = std::min(kRowsPerTask, product.rows - row),
                           .panels = panels.data(),
                           .panel_stride = depth * kPanelWidth,
                           .depth = depth,
                           .out = product.y + row * product.y_stride,
                           .out_stride = product.y_stride,
                           .columns = product.columns,
                           .accumulate = product.accumulate || first > 0});
      }
    });
  }
}

void InputGram::Add(const float* rows, std::size_t count) {
  for (std::size_t start = 0; start < count; start += kDepth) {
    const std::size_t depth = std::min(kDepth, count - start);
    const float* chunk = rows + start * width_;
    const std::vector<float> panels = Panels(chunk, depth, width_, width_);
    std::vector<float> turned(width_ * depth);  // [width, depth]
    ParallelFor(width_, 64, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = 0; k < depth; ++k)
        for (std::size_t i = begin; i < end; ++i) turned[i * depth + k] = chunk[k * width_ + i];
    });
    ParallelFor((width_ + kRowsPerTask - 1) / kRowsPerTask, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t task = begin; task < end; ++task) {
        const std::size_t row = task * kRowsPerTask, height = std::min(kRowsPerTask, width_ - row);
        runtime::Multiply({.x = turned.data() + row * depth,
                           .x_stride = depth,
                           .rows = height,
                           .panels = panels.data(),
                           .panel_stride = depth * kPanelWidth,
                           .depth = depth,
                           .out = sum_.data() + row * width_,
                           .out_stride = width_,
                           .columns = row + height,  // the lower triangle
                           .accumulate = true});
      }
    });
  }
  count_ += count;
}

std::vector<float> InputGram::Diagonal() const {
  std::vector<float> diagonal;
  for (std::size_t i = 0; i < width_; ++i)
    diagonal.push_back(sum_[i * width_ + i] / static_cast<float>(std::max<std::size_t>(count_, 1)));
  return diagonal;
}

std::vector<float> InputGram::TakeMean() {
  FORGE_CHECK(count_ > 0);
  const float share = 1 / static_cast<float>(count_);
  for (std::size_t i = 0; i < width_; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      sum_[j * width_ + i] = sum_[i * width_ + j] = sum_[i * width_ + j] * share;
  return std::move(sum_);
}

double OutputError(const std::vector<float>& errors, std::size_t out, const std::vector<float>& gram) {
  const std::size_t in = errors.size() / out;
  constexpr std::size_t kRows = 256;
  std::vector<float> product(kRows * in);
  double total = 0;
  for (std::size_t first = 0; first < out; first += kRows) {
    const std::size_t rows = std::min(kRows, out - first);
    const float* e = errors.data() + first * in;
    MultiplyDense({.x = e,
                   .rows = rows,
                   .x_stride = in,
                   .b = gram.data(),
                   .depth = in,
                   .columns = in,
                   .b_stride = in,
                   .y = product.data(),
                   .y_stride = in});
    for (std::size_t i = 0; i < rows * in; ++i) total += double{e[i]} * product[i];
  }
  return total / static_cast<double>(out);
}

}  // namespace forge::compress
