// SPDX-License-Identifier: Apache-2.0
#include "compress/feedback_factor.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/thread_pool.h"
#include "compress/input_gram.h"

namespace forge::compress {
namespace {

constexpr std::size_t kBlock = 64;

/// U D U^T of the block [first, last) on the diagonal of a, in double: unit upper u [n, n], d [n].
bool FactorBlock(const std::vector<float>& a, std::size_t size, std::size_t first, std::size_t last,
                 double floor, std::vector<double>& u, std::vector<double>& d) {
  const std::size_t n = last - first;
  u.assign(n * n, 0);
  d.assign(n, 0);
  std::vector<double> rest(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) rest[i * n + j] = a[(first + i) * size + first + j];
  for (std::size_t k = n; k-- > 0;) {
    d[k] = rest[k * n + k];
    if (!(d[k] > floor)) return false;
    u[k * n + k] = 1;
    for (std::size_t i = 0; i < k; ++i) u[i * n + k] = rest[i * n + k] / d[k];
    for (std::size_t i = 0; i < k; ++i)
      for (std::size_t j = i; j < k; ++j) rest[i * n + j] -= u[i * n + k] * d[k] * u[j * n + k];
  }
  return true;
}

/// The rows above the block: solves X (U D)^T ... for u [first, n] with a[:first, block] = X D U^T.
void SolveAbove(std::vector<float>& a, std::size_t size, std::size_t first, std::size_t n,
                const std::vector<double>& u, const std::vector<double>& d) {
  ParallelFor(first, 16, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      float* values = a.data() + row * size + first;
      double x[kBlock];
      for (std::size_t k = n; k-- > 0;) {
        double sum = values[k];
        for (std::size_t j = k + 1; j < n; ++j) sum -= x[j] * d[j] * u[k * n + j];
        x[k] = sum / d[k];
      }
      for (std::size_t k = 0; k < n; ++k) values[k] = static_cast<float>(x[k]);
    }
  });
}

/// a[:first, :first] -= X D X^T, X = a[:first, block].
void Subtract(std::vector<float>& a, std::size_t size, std::size_t first, std::size_t n,
              const std::vector<double>& d) {
  std::vector<float> scaled(first * n), turned(n * first);
  for (std::size_t row = 0; row < first; ++row)
    for (std::size_t k = 0; k < n; ++k) {
      const float x = a[row * size + first + k];
      scaled[row * n + k] = -x * static_cast<float>(d[k]);
      turned[k * first + row] = x;
    }
  MultiplyDense({.x = scaled.data(),
                 .rows = first,
                 .x_stride = n,
                 .b = turned.data(),
                 .depth = n,
                 .columns = first,
                 .b_stride = first,
                 .y = a.data(),
                 .y_stride = size,
                 .accumulate = true});
}

std::optional<FeedbackFactor> TryFactor(std::vector<float> a, std::size_t size, double floor) {
  FeedbackFactor factor{.size = size, .u = {}, .d = std::vector<float>(size)};
  std::vector<double> u, d;
  for (std::size_t last = size; last > 0;) {
    const std::size_t first = last > kBlock ? last - kBlock : 0, n = last - first;
    if (!FactorBlock(a, size, first, last, floor, u, d)) return std::nullopt;
    SolveAbove(a, size, first, n, u, d);
    Subtract(a, size, first, n, d);
    for (std::size_t i = 0; i < n; ++i) {
      factor.d[first + i] = static_cast<float>(d[i]);
      for (std::size_t j = 0; j < n; ++j)
        a[(first + i) * size + first + j] = j > i ? static_cast<float>(u[i * n + j]) : 0.0f;
    }
    for (std::size_t i = first; i < last; ++i)
      std::fill_n(a.begin() + static_cast<std::ptrdiff_t>(i * size), first, 0.0f);
    last = first;
  }
  factor.u = std::move(a);
  return factor;
}

}  // namespace

FeedbackFactor FactorGram(std::vector<float> h, std::size_t size, double damping) {
  double mean = 0;
  for (std::size_t i = 0; i < size; ++i) mean += h[i * size + i] / static_cast<double>(size);
  if (!(mean > 0)) mean = 1;  // inputs that are all zeros: any factor will do
  double added = 0;
  for (int attempt = 0; attempt < 6; ++attempt, damping *= 10) {
    const double wanted = damping * mean;
    for (std::size_t i = 0; i < size; ++i) h[i * size + i] += static_cast<float>(wanted - added);
    added = wanted;
    if (std::optional<FeedbackFactor> factor = TryFactor(h, size, 1e-3 * wanted)) return std::move(*factor);
  }
  throw Error({.what = "cannot decompose the moments of a linear's inputs",
               .why = "they are not positive, or not finite",
               .fix = "calibrate on other texts, or use --method nearest"});
}

}  // namespace forge::compress
