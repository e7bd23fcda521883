// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "base/thread_pool.h"
#include "compress/input_gram.h"
#include "compress/quantised_linear.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::compress {
namespace {

constexpr std::size_t kRows = 256;  // whose gradients are held at a time

/// One row on its way down: e H e^T of e = weights - values, with g = e H kept up to date.
class RowDescent {
 public:
  RowDescent(const std::vector<float>& gram, std::size_t row, float* g, QuantisedLinear& quantised)
      : gram_(gram),
        in_(static_cast<std::size_t>(quantised.in)),
        group_(static_cast<std::size_t>(quantised.group)),
        values_(quantised.values.data() + row * in_),
        levels_(quantised.levels.data() + row * (in_ / group_)),
        g_(g) {}

  /// Whether any code changed.
  bool ImproveCodes() {
    bool changed = false;
    for (std::size_t i = 0; i < in_; ++i) {
      const float power = gram_[i * in_ + i];
      if (!(power > 0)) continue;
      const float value = levels_[i / group_].Round(values_[i] + g_[i] / power);
      const double step = double{values_[i]} - value;  // of e
      if (step == 0 || 2 * step * g_[i] + step * step * power >= 0) continue;
      values_[i] = value;
      runtime::Kernels().axpy(static_cast<float>(step), gram_.data() + i * in_, in_, g_);
      changed = true;
    }
    return changed;
  }

  /// The best scale of each ternary group while all codes stand.
  void ImproveScales(std::vector<float>& moved) {
    for (std::size_t first = 0; first < in_; first += group_) {
      GroupLevels& levels = levels_[first / group_];
      const float alpha = levels.plane[0];
      if (!(alpha > 0) || levels.plane[1] != 0) continue;
      moved.assign(in_, 0.0f);  // t H
      double slope = 0, curve = 0;
      for (std::size_t i = first; i < first + group_; ++i) {
        if (values_[i] == 0) continue;
        const float t = values_[i] > 0 ? 1.0f : -1.0f;
        slope += double{t} * g_[i];
        runtime::Kernels().axpy(t, gram_.data() + i * in_, in_, moved.data());
      }
      for (std::size_t i = first; i < first + group_; ++i)
        if (values_[i] != 0) curve += values_[i] > 0 ? moved[i] : -moved[i];
      if (!(curve > 0)) continue;
      const float next = RoundToHalf(static_cast<float>(std::fabs(alpha + slope / curve)));
      const double step = double{next} - alpha;
      if (!(next > 0) || -2 * step * slope + step * step * curve >= 0) continue;
      levels = PlaneLevels(next);
      for (std::size_t i = first; i < first + group_; ++i)
        if (values_[i] != 0) values_[i] = std::copysign(next, values_[i]);
      runtime::Kernels().axpy(static_cast<float>(-step), moved.data(), in_, g_);
    }
  }

 private:
  const std::vector<float>& gram_;
  std::size_t in_, group_;
  float* values_;
  GroupLevels* levels_;
  float* g_;
};

}  // namespace

void PolishCodes(const LinearToQuantise& linear, const std::vector<float>& gram, int rounds,
                 QuantisedLinear& quantised) {
  const auto rows = static_cast<std::size_t>(linear.out), in = static_cast<std::size_t>(linear.in);
  const bool is_one_group = quantised.group == linear.in;  // whose levels other rows may share
  const std::vector<float> errors = ErrorsOf(linear, quantised);
  std::vector<float> gradients(kRows * in);
  for (std::size_t first = 0; first < rows; first += kRows) {
    const std::size_t count = std::min(kRows, rows - first);
    MultiplyDense({.x = errors.data() + first * in,
                   .rows = count,
                   .x_stride = in,
                   .b = gram.data(),
                   .depth = in,
                   .columns = in,
                   .b_stride = in,
                   .y = gradients.data(),
                   .y_stride = in});
    ParallelFor(count, 1, [&](std::size_t begin, std::size_t end) {
      std::vector<float> moved;
      for (std::size_t r = begin; r < end; ++r) {
        RowDescent row(gram, first + r, gradients.data() + r * in, quantised);
        for (int round = 0; round < rounds; ++round) {
          const bool changed = row.ImproveCodes();
          if (!is_one_group) row.ImproveScales(moved);
          if (!changed) break;
        }
      }
    });
  }
}

}  // namespace forge::compress
