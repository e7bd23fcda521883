// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <vector>

#include "base/check.h"
#include "merge/exact/families.h"
#include "merge/exact/magnitude_threshold.h"

namespace forge::merge {
namespace {

/// Arcee's fusion: importance of a weight = |x - base| times, for its row, the divergence (Kullback-Leibler)
/// of softmax(x) from softmax(base), 1e-8 added to each probability. The other model's value is taken where
/// the importance is at least median + 1.5 (upper - lower quartile), over the tensor. Divergences are
/// computed in double (in float32 those of close models are mostly rounding), quartiles of all values, not of
/// a random million, and the result keeps its type.
class ArceeFusion : public TensorMerge {
 public:
  explicit ArceeFusion(const TensorTask& task)
      : base_(static_cast<std::size_t>(task.base)),
        other_(1 - base_),
        columns_(task.columns()),
        divergences_(task.size() / columns_, -1) {
    FORGE_CHECK(task.sources.size() == 2);
    const std::size_t n = task.size();
    for (const double quantile : {0.25, 0.5, 0.75}) {
      const auto rank =
          static_cast<std::size_t>(quantile * static_cast<double>(n - 1));  // from 0, the smallest
      quartiles_.push_back(std::make_unique<MagnitudeThreshold>(n, n - rank));
    }
  }

  std::optional<Pass> NextPass() override {
    for (const auto& quartile : quartiles_)
      if (!quartile->done()) return Pass{.sample = quartile->is_sampling()};
    return std::nullopt;
  }

  void Observe(const Piece& piece, std::span<double>) override {
    const std::vector<float>& importance = Importance(piece);
    for (const auto& quartile : quartiles_) {
      if (!quartile->done()) quartile->Observe({.of = {importance.data()}}, importance.size());
    }
  }

  void EndPass(std::span<const double>) override {
    for (const auto& quartile : quartiles_) {
      if (!quartile->done()) quartile->EndPass();
    }
  }

  void Merge(const Piece& piece, float* out) override {
    const auto value = [&](int i) {
      return std::bit_cast<float>(quartiles_[static_cast<std::size_t>(i)]->code());
    };
    const float threshold = value(1) + 1.5f * (value(2) - value(0));
    const std::vector<float>& importance = Importance(piece);
    for (std::size_t i = 0; i < piece.size; ++i)
      out[i] = piece.Floats(importance[i] >= threshold ? other_ : base_)[i];
  }

 private:
  /// In a buffer of the thread.
  const std::vector<float>& Importance(const Piece& piece) {
    thread_local std::vector<float> importance;
    importance.resize(piece.size);
    const float *base = piece.Floats(base_), *other = piece.Floats(other_);
    for (std::size_t first = 0; first < piece.size; first += columns_) {
      double& divergence = divergences_[(piece.first + first) / columns_];
      if (divergence < 0) divergence = Divergence(other + first, base + first);
      for (std::size_t i = first; i < first + columns_; ++i)
        importance[i] = static_cast<float>(
            std::fabs(static_cast<double>(other[i]) - static_cast<double>(base[i])) * divergence);
    }
    return importance;
  }

  void Softmax(const float* row, std::vector<double>& out) const {
    out.resize(columns_);
    const double largest = static_cast<double>(*std::max_element(row, row + columns_));
    double sum = 0;
    for (std::size_t i = 0; i < columns_; ++i)
      sum += out[i] = std::exp(static_cast<double>(row[i]) - largest);
    for (double& value : out) value = value / sum + 1e-8;
  }

  double Divergence(const float* row, const float* base) const {
    thread_local std::vector<double> p, q;
    Softmax(row, p);
    Softmax(base, q);
    double sum = 0;
    for (std::size_t i = 0; i < columns_; ++i) sum += p[i] * std::log(p[i] / q[i]);
    return std::max(sum, 0.0);  // below 0 by rounding only
  }

  std::size_t base_, other_, columns_;
  std::vector<double> divergences_;  // [rows]; -1: not computed yet. A row belongs to one piece of a pass
  std::vector<std::unique_ptr<MagnitudeThreshold>> quartiles_;
};

}  // namespace

std::unique_ptr<TensorMerge> MakeArceeFusion(const TensorTask& task) {
  return std::make_unique<ArceeFusion>(task);
}

}  // namespace forge::merge
