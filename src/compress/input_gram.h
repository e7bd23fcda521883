// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace forge::compress {

/// H = E[x x^T] of the inputs of a linear: what an error e of one of its rows costs is e H e^T. [width,
/// width], float32, summed in the order of the rows given. Both triangles are kept.
class InputGram {
 public:
  explicit InputGram(std::size_t width) : width_(width), sum_(width * width) {}

  /// Adds the outer products of rows [count, width]. On the global thread pool; the same bits for any number
  /// of threads. Cost: count * width^2 multiply-adds (a triangle, and a copy of it).
  void Add(const float* rows, std::size_t count);

  /// Mean of x_i^2: [width].
  std::vector<float> Diagonal() const;
  /// H, [width, width]. Ends the adding: the sums are divided in place.
  std::vector<float> TakeMean();

 private:
  std::size_t width_, count_ = 0;
  std::vector<float> sum_;
};

/// Mean over the rows of E = [out, in] of e H e^T: the mean squared error of an output.
double OutputError(const std::vector<float>& errors, std::size_t out, const std::vector<float>& gram);

/// y [rows, columns] (+)= x [rows, depth] B, B [depth, columns] row-major with rows `b_stride` floats apart,
/// by the runtime's kernels, on the global thread pool.
struct DenseProduct {
  const float* x;
  std::size_t rows, x_stride;
  const float* b;
  std::size_t depth, columns, b_stride;
  float* y;
  std::size_t y_stride;
  bool accumulate = false;
};
void MultiplyDense(const DenseProduct& product);

}  // namespace forge::compress
