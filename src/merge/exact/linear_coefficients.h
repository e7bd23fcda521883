// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace forge::merge {

/// The products of vectors with each other: at(i, j) = v_i . v_j.
class GramMatrix {
 public:
  explicit GramMatrix(std::size_t size) : size_(size), products_(size * size) {}
  std::size_t size() const { return size_; }
  double at(std::size_t i, std::size_t j) const { return products_[i * size_ + j]; }
  void Set(std::size_t i, std::size_t j, double product) {
    products_[i * size_ + j] = products_[j * size_ + i] = product;
  }
  double Norm(std::size_t i) const;
  /// v_i . v_j / (|v_i| |v_j|), kept within [-1, 1]; 0 if one of them is zero.
  double Cosine(std::size_t i, std::size_t j) const;

 private:
  std::size_t size_;
  std::vector<double> products_;
};

/// Coefficients c of a result sum c_i v_i that is defined by angles and lengths: those follow from the
/// products, so a merge needs one pass over the vectors for them and one to add. All in double.

/// Spherical interpolation (Shoemake 1985) from v_0 (t = 0) to v_1 (t = 1). Linear if one is zero or
/// sin(angle) is below `smallest_sine`, which includes opposite vectors: no great circle is defined by those.
std::vector<double> SlerpCoefficients(const GramMatrix& products, double t, double smallest_sine);

/// mergekit's multislerp: (sum w_i |v_i|) times the direction of sum w_i v_i / |v_i|. Zero vectors have no
/// direction and add nothing. Where the directions cancel (shorter than eps) two vectors are mixed linearly;
/// for more there is no answer: empty.
std::vector<double> MultislerpCoefficients(const GramMatrix& products, std::span<const double> weights,
                                           double eps);

/// The Riemannian (Karcher 1977) mean of the directions of all v_i whose length is above tol, from their
/// Euclidean mean in at most `max_iterations` steps of which the last is below tol, times the mean of all
/// lengths. A direction opposite to the mean is left out of a step.
std::vector<double> KarcherCoefficients(const GramMatrix& products, int max_iterations, double tol);

/// Model Stock (Jang et al. 2024, arXiv:2403.19522, equation 2 with the mean cosine of all pairs):
/// t = N cos / (1 + (N - 1) cos), kept within [0, 1], times the mean of N changes v_i.
double ModelStockRatio(const GramMatrix& products);

}  // namespace forge::merge
