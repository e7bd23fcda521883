// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/linear_coefficients.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace forge::merge {
namespace {

/// Coefficients over unit vectors u_i = v_i / |v_i|; those of zero vectors stay 0.
class Direction {
 public:
  explicit Direction(const GramMatrix& products) : products_(products), c_(products.size()) {}
  double& operator[](std::size_t i) { return c_[i]; }
  double operator[](std::size_t i) const { return c_[i]; }
  double Dot(std::size_t unit) const {
    double sum = 0;
    for (std::size_t i = 0; i < c_.size(); ++i) sum += c_[i] * UnitDot(i, unit);
    return sum;
  }
  double Norm() const {
    double sum = 0;
    for (std::size_t j = 0; j < c_.size(); ++j) sum += c_[j] * Dot(j);
    return std::sqrt(std::max(0.0, sum));
  }
  void Scale(double factor) {
    for (double& c : c_) c *= factor;
  }
  /// Back over the v_i, times `length`.
  std::vector<double> Times(double length) const {
    std::vector<double> result(c_.size());
    for (std::size_t i = 0; i < c_.size(); ++i)
      if (c_[i] != 0) result[i] = c_[i] * length / products_.Norm(i);
    return result;
  }

 private:
  double UnitDot(std::size_t i, std::size_t j) const {
    return i == j ? (products_.Norm(i) > 0 ? 1 : 0) : products_.Cosine(i, j);
  }
  const GramMatrix& products_;
  std::vector<double> c_;
};

}  // namespace

double GramMatrix::Norm(std::size_t i) const { return std::sqrt(std::max(0.0, at(i, i))); }

double GramMatrix::Cosine(std::size_t i, std::size_t j) const {
  const double norms = Norm(i) * Norm(j);
  return norms > 0 ? std::clamp(at(i, j) / norms, -1.0, 1.0) : 0;
}

std::vector<double> SlerpCoefficients(const GramMatrix& products, double t, double smallest_sine) {
  FORGE_CHECK(products.size() == 2);
  const double cosine = products.Cosine(0, 1);
  const double sine = std::sqrt(std::max(0.0, 1 - cosine * cosine));
  if (products.Norm(0) == 0 || products.Norm(1) == 0 || sine < smallest_sine) return {1 - t, t};
  const double angle = std::acos(cosine);
  return {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)};
}

std::vector<double> MultislerpCoefficients(const GramMatrix& products, std::span<const double> weights,
                                           double eps) {
  FORGE_CHECK(weights.size() == products.size());
  Direction mean(products);
  double length = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    length += weights[i] * products.Norm(i);
    if (products.Norm(i) > 0) mean[i] = weights[i];
  }
  if (length == 0 && std::all_of(weights.begin(), weights.end(), [](double w) { return w >= 0; }))
    return std::vector<double>(weights.begin(), weights.end());  // all zero: so is the result
  const double norm = mean.Norm();
  if (norm < eps) {
    if (weights.size() > 2) return {};
    return {weights.begin(), weights.end()};
  }
  return mean.Times(length / norm);
}

std::vector<double> KarcherCoefficients(const GramMatrix& products, int max_iterations, double tol) {
  const std::size_t size = products.size();
  double mean_length = 0;
  std::vector<std::size_t> units;
  for (std::size_t i = 0; i < size; ++i) {
    mean_length += products.Norm(i) / static_cast<double>(size);
    if (products.Norm(i) > tol) units.push_back(i);
  }
  if (units.empty()) return std::vector<double>(size);
  const double share = 1 / static_cast<double>(units.size());
  Direction mean(products);
  for (const std::size_t i : units) mean[i] = share;
  if (const double norm = mean.Norm(); norm >= tol) {
    mean.Scale(1 / norm);
  } else {
    mean.Scale(0);
    mean[units.front()] = 1;
  }
  for (int step = 0; step < max_iterations; ++step) {
    Direction tangent(products);
    double along = 0;  // what the steps take off the mean itself
    for (const std::size_t i : units) {
      const double cosine = std::clamp(mean.Dot(i), -1.0, 1.0), angle = std::acos(cosine);
      if (angle < tol || std::sin(angle) < 1e-12) continue;
      const double factor = share * angle / std::sin(angle);
      tangent[i] += factor;
      along += factor * cosine;
    }
    for (std::size_t i = 0; i < size; ++i) tangent[i] -= along * mean[i];
    const double length = tangent.Norm();
    if (length < tol) break;
    mean.Scale(std::cos(length));
    for (std::size_t i = 0; i < size; ++i) mean[i] += std::sin(length) * tangent[i] / length;
    mean.Scale(1 / mean.Norm());
  }
  return mean.Times(mean_length);
}

double ModelStockRatio(const GramMatrix& products) {
  const auto count = static_cast<double>(products.size());
  FORGE_CHECK(products.size() >= 2);
  double cosine = 0;
  for (std::size_t i = 0; i < products.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) cosine += products.Cosine(i, j);
  cosine /= count * (count - 1) / 2;
  const double divisor = 1 + (count - 1) * cosine;
  return divisor <= 0 ? 0 : std::clamp(count * cosine / divisor, 0.0, 1.0);
}

}  // namespace forge::merge
