// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/check.h"
#include "merge/exact/families.h"

namespace forge::merge {
namespace {

/// RAM: a change counts where its size is above epsilon. One that a single model has is added in full, those
/// that several have as their mean. ramplus_tl multiplies a model's unique changes by 1 + r * min(shared /
/// unique, alpha), the numbers of its shared and unique changes in the tensor.
class Ram : public TensorMerge {
 public:
  explicit Ram(const TensorTask& task)
      : task_(task),
        base_(static_cast<std::size_t>(task.base)),
        epsilon_(static_cast<float>(task.parameters.Get("epsilon"))),
        counts_changes_(task.method->name == "ramplus_tl") {
    for (std::size_t s = 0; s < task.sources.size(); ++s)
      if (s != base_) models_.push_back(s);
    factors_.assign(models_.size(), 1);
  }

  std::optional<Pass> NextPass() override {
    if (!counts_changes_ || counted_) return std::nullopt;
    return Pass{.num_sums = 2 * models_.size()};
  }

  void Observe(const Piece& piece, std::span<double> sums) override {
    for (std::size_t i = 0; i < piece.size; ++i) {
      const std::size_t active = Active(piece, i);
      if (active == 0) continue;
      for (std::size_t m = 0; m < models_.size(); ++m)
        if (IsActive(piece, m, i)) ++sums[2 * m + (active > 1 ? 1 : 0)];
    }
  }

  void EndPass(std::span<const double> totals) override {
    counted_ = true;
    const double r = task_.parameters.Get("r"), alpha = task_.parameters.Get("alpha");
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const double unique = totals[2 * m], shared = totals[2 * m + 1];
      const double ratio = unique > 0 ? std::min(shared / unique, alpha) : alpha;
      factors_[m] = static_cast<float>(1 + r * ratio);
    }
  }

  void Merge(const Piece& piece, float* out) override {
    for (std::size_t i = 0; i < piece.size; ++i) {
      const std::size_t active = Active(piece, i);
      float sum = 0;
      for (std::size_t m = 0; m < models_.size() && active > 0; ++m) {
        if (!IsActive(piece, m, i)) continue;
        const float change = Change(piece, m, i);
        sum += active == 1 ? factors_[m] * change : change / static_cast<float>(active);
      }
      out[i] = piece.Floats(base_)[i] + sum;
    }
  }

 private:
  float Change(const Piece& piece, std::size_t model, std::size_t i) const {
    return piece.Floats(models_[model])[i] - piece.Floats(base_)[i];
  }
  bool IsActive(const Piece& piece, std::size_t model, std::size_t i) const {
    return std::fabs(Change(piece, model, i)) > epsilon_;
  }
  std::size_t Active(const Piece& piece, std::size_t i) const {
    std::size_t active = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) active += IsActive(piece, m, i);
    return active;
  }

  const TensorTask& task_;
  std::size_t base_;
  float epsilon_;
  bool counts_changes_, counted_ = false;
  std::vector<std::size_t> models_;
  std::vector<float> factors_;
};

/// base + q (x - base), q = min(t / |x - base|, 1): a step of at most t towards the other model.
class Nearswap : public TensorMerge {
 public:
  explicit Nearswap(const TensorTask& task)
      : base_(static_cast<std::size_t>(task.base)),
        other_(1 - base_),
        t_(static_cast<float>(task.parameters.Get("t"))) {
    FORGE_CHECK(task.sources.size() == 2);
  }
  void Merge(const Piece& piece, float* out) override {
    const float *base = piece.Floats(base_), *other = piece.Floats(other_);
    for (std::size_t i = 0; i < piece.size; ++i) {
      const float change = other[i] - base[i], size = std::fabs(change);
      out[i] = size <= t_ ? other[i] : base[i] + std::copysign(t_, change);
    }
  }

 private:
  std::size_t base_, other_;
  float t_;
};

}  // namespace

std::unique_ptr<TensorMerge> MakeRam(const TensorTask& task) { return std::make_unique<Ram>(task); }
std::unique_ptr<TensorMerge> MakeNearswap(const TensorTask& task) { return std::make_unique<Nearswap>(task); }

std::unique_ptr<TensorMerge> MakeElementwise(const TensorTask& task) {
  const std::string& method = task.method->name;
  if (method == "sce") return MakeSce(task);
  if (method == "nearswap") return MakeNearswap(task);
  if (method == "arcee_fusion") return MakeArceeFusion(task);
  FORGE_CHECK(method == "ram" || method == "ramplus_tl");
  return MakeRam(task);
}

}  // namespace forge::merge
