// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "merge/exact/families.h"
#include "merge/exact/sparsifier.h"
#include "merge/kernels/element_kernels.h"

namespace forge::merge {
namespace {

class TaskArithmetic : public TensorMerge {
 public:
  TaskArithmetic(const TensorTask& task, std::uint64_t seed)
      : task_(task), base_(static_cast<std::size_t>(task.base)) {
    const std::string& method = task.method->name;
    votes_ = method == "ties" || method == "dare_ties" || method == "breadcrumbs_ties" || method == "della";
    normalizes_ = task.parameters.Get("normalize") != 0;
    lambda_ = static_cast<float>(task.parameters.Get("lambda"));
    for (std::size_t s = 0; s < task.sources.size(); ++s) {
      if (s == base_) continue;
      models_.push_back({.source = s,
                         .weight = task.parameters.Get("weight", s),
                         .sparsifier = std::make_unique<Sparsifier>(task, s, seed)});
      sparse_ = sparse_ || !models_.back().sparsifier->keeps_all();
    }
    rescales_ = sparse_ && task.parameters.Get("rescale") != 0;
    SetWeights();
  }

  std::optional<Pass> NextPass() override {
    // All are of one tensor, so they sample in the same pass.
    if (const auto open = OpenThresholds(); !open.empty()) return Pass{.sample = open[0]->is_sampling()};
    RestartCounts();
    if (!rescales_ || rescaled_) return std::nullopt;
    for (Model& model : models_)
      if (model.sparsifier->draws())
        model.kept.resize(task_.size() / task_.columns());  // pieces are whole rows
    return Pass{.num_sums = 2 * models_.size()};
  }

  void Observe(const Piece& piece, std::span<double> sums) override {
    thread_local std::vector<float> change;
    change.resize(piece.size);
    if (sums.empty()) {
      for (const Model& model : models_) {
        const std::vector<MagnitudeThreshold*> open = model.sparsifier->OpenThresholds();
        if (!open.empty())
          Elements().subtract(piece.inputs[model.source], piece.inputs[base_], piece.size, change.data());
        for (MagnitudeThreshold* threshold : open) threshold->Observe(change.data(), piece.size);
      }
      return;
    }
    thread_local std::vector<float> changes;
    AllChanges(piece, changes);
    for (std::size_t m = 0; m < models_.size(); ++m)
      sums[2 * m] = Elements().sum_abs(changes.data() + m * piece.size, piece.size);
    if (!Sparsify(piece, changes)) return;
    for (std::size_t m = 0; m < models_.size(); ++m)
      sums[2 * m + 1] = Elements().sum_abs(changes.data() + m * piece.size, piece.size);
  }

  void EndPass(std::span<const double> totals) override {
    if (totals.empty()) {
      const std::vector<MagnitudeThreshold*> open = OpenThresholds();
      ThreadPool::Global().Run(open.size(), [&](std::size_t i) { open[i]->EndPass(); });
      return;
    }
    for (std::size_t m = 0; m < models_.size(); ++m)
      if (!models_[m].sparsifier->keeps_all() && totals[2 * m + 1] > 0)
        models_[m].rescale = totals[2 * m] / totals[2 * m + 1];
    rescaled_ = true;
    SetWeights();
  }

  void Merge(const Piece& piece, float* out) override {
    std::vector<const float*> inputs;
    thread_local std::vector<float> changes;
    if (sparse_ || votes_) {
      AllChanges(piece, changes);
      if (!Sparsify(piece, changes)) return;
      for (std::size_t m = 0; m < models_.size(); ++m) inputs.push_back(changes.data() + m * piece.size);
    } else {
      for (const Model& model : models_) inputs.push_back(piece.inputs[model.source]);
    }
    const float* base = piece.inputs[base_];
    if (votes_)
      Elements().vote(base, inputs.data(), weights_.data(), normalizes_ ? shares_.data() : nullptr,
                      inputs.size(), lambda_, piece.size, out);
    else if (sparse_)
      Elements().add_changes(base, inputs.data(), weights_.data(), inputs.size(), piece.size, out);
    else
      Elements().combine_changes(base, inputs.data(), weights_.data(), inputs.size(), piece.size, out);
  }

  void Abort() override { counts_.Abort(); }

 private:
  struct Model {
    std::size_t source;
    double weight;
    double rescale = 1;
    std::unique_ptr<Sparsifier> sparsifier;
    /// What was drawn in the pass that finds the rescaling: bits of each piece (KeepAtRandom).
    std::vector<std::vector<std::uint64_t>> kept;
  };

  std::vector<MagnitudeThreshold*> OpenThresholds() const {
    std::vector<MagnitudeThreshold*> open;
    for (const Model& model : models_)
      for (MagnitudeThreshold* threshold : model.sparsifier->OpenThresholds()) open.push_back(threshold);
    return open;
  }

  /// What changes are multiplied by. Without a vote, division by the sum of weights and lambda are in it.
  void SetWeights() {
    double divisor = 0;
    for (const Model& model : models_) divisor += model.weight;
    if (!normalizes_ || votes_) divisor = 1;
    if (std::fabs(divisor) < 1e-8)
      throw Error({.what = fmt::format("cannot merge {} by {}", task_.name, task_.method->name),
                   .why = "the weights sum to 0, and normalize divides by that",
                   .fix = "change a weight, or set normalize: false"});
    weights_.clear();
    shares_.clear();
    for (const Model& model : models_) {
      const double weight = model.weight * model.rescale;
      weights_.push_back(
          static_cast<float>(votes_ ? weight : weight / divisor * static_cast<double>(lambda_)));
      shares_.push_back(static_cast<float>(std::fabs(model.weight)));
    }
  }

  void AllChanges(const Piece& piece, std::vector<float>& changes) const {
    changes.resize(models_.size() * piece.size);
    for (std::size_t m = 0; m < models_.size(); ++m)
      Elements().subtract(piece.inputs[models_[m].source], piece.inputs[base_], piece.size,
                          changes.data() + m * piece.size);
  }

  void RestartCounts() {
    num_counts_ = 0;
    for (const Model& model : models_) num_counts_ += model.sparsifier->num_counts();
    counts_.Restart(num_counts_);
  }

  /// False: another piece failed.
  bool Sparsify(const Piece& piece, std::vector<float>& changes) {
    std::vector<std::size_t> counts;
    const auto of = [&](std::size_t m) { return std::span(changes).subspan(m * piece.size, piece.size); };
    if (num_counts_ > 0)
      for (std::size_t m = 0; m < models_.size(); ++m) models_[m].sparsifier->CountEqual(of(m), counts);
    const std::vector<std::size_t> here = counts;
    if (num_counts_ > 0 && !counts_.Add(piece.index, counts)) return false;
    std::size_t used = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const Sparsifier& sparsifier = *models_[m].sparsifier;
      if (models_[m].kept.empty())
        sparsifier.Apply(piece.first, std::span(counts).subspan(used, sparsifier.num_counts()),
                         std::span(here).subspan(used, sparsifier.num_counts()), of(m));
      else
        ApplyKept(models_[m], piece, of(m));
      used += sparsifier.num_counts();
    }
    return true;
  }

  static void ApplyKept(Model& model, const Piece& piece, std::span<float> changes) {
    std::vector<std::uint64_t>& bits = model.kept[piece.index];
    if (bits.empty()) {
      bits.resize(piece.size / 64 + 1);
      model.sparsifier->KeepAtRandom(piece.first, changes, bits.data());
    }
    Elements().keep_bits(changes.data(), changes.size(), bits.data(), changes.data());
  }

  const TensorTask& task_;
  std::size_t base_;
  bool votes_ = false, normalizes_ = false, sparse_ = false, rescales_ = false;
  bool rescaled_ = false;
  float lambda_ = 1;
  std::vector<Model> models_;
  std::vector<float> weights_, shares_;
  std::size_t num_counts_ = 0;
  RunningCounts counts_;
};

}  // namespace

std::unique_ptr<TensorMerge> MakeTaskArithmetic(const TensorTask& task, std::uint64_t seed) {
  return std::make_unique<TaskArithmetic>(task, seed);
}

}  // namespace forge::merge
