// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "merge/exact/families.h"
#include "merge/exact/magnitude_threshold.h"

namespace forge::merge {
namespace {

/// SCE of FuseChat (Wan et al. 2024, arXiv:2408.07990, section 3.3): select the positions where the models
/// differ most, calculate each model's share from the energy of what is left of its change, erase the changes
/// of the minority sign. Where mergekit falls back to equal shares when the energies sum below 1e-6, which
/// changes of ordinary size do, the shares here are always those of the energies.
class Sce : public TensorMerge {
 public:
  explicit Sce(const TensorTask& task)
      : task_(task), base_(static_cast<std::size_t>(task.base)), topk_(task.parameters.Get("select_topk")) {
    for (std::size_t s = 0; s < task.sources.size(); ++s)
      if (s != base_) models_.push_back(s);
  }

  std::optional<Pass> NextPass() override {
    counts_.Restart(1);
    if (topk_ < 1 && !counted_) return Pass{.num_sums = 1};
    if (threshold_ && !threshold_->done()) return Pass{.sample = threshold_->is_sampling()};
    if (shares_.empty()) return Pass{.num_sums = models_.size()};
    return std::nullopt;
  }

  void Observe(const Piece& piece, std::span<double> sums) override {
    if (topk_ < 1 && !counted_) {
      for (const float variance : Variances(piece)) sums[0] += variance > 0;
    } else if (threshold_ && !threshold_->done()) {
      const std::vector<float>& variances = Variances(piece);
      threshold_->Observe({.of = {variances.data()}}, variances.size());
    } else if (Select(piece)) {
      for (std::size_t i = 0; i < piece.size; ++i)
        for (std::size_t m = 0; m < models_.size() && Selected()[i]; ++m) {
          const double change = Change(piece, m, i);
          sums[m] += change * change;
        }
    }
  }

  void EndPass(std::span<const double> totals) override {
    if (topk_ < 1 && !counted_) {
      counted_ = true;
      const auto keep = static_cast<std::size_t>(totals[0] * topk_);
      if (keep > 0) threshold_ = std::make_unique<MagnitudeThreshold>(task_.size(), keep);
    } else if (threshold_ && !threshold_->done()) {
      threshold_->EndPass();
    } else {
      double sum = 0;
      for (const double energy : totals) sum += energy;
      for (const double energy : totals)
        shares_.push_back(sum > 0 ? energy / sum : 1 / static_cast<double>(models_.size()));
    }
  }

  void Merge(const Piece& piece, float* out) override {
    if (!Select(piece)) return;
    for (std::size_t i = 0; i < piece.size; ++i) {
      out[i] = piece.Floats(base_)[i];
      if (!Selected()[i]) continue;
      double vote = 0, sum = 0, share = 0;
      for (std::size_t m = 0; m < models_.size(); ++m) vote += Change(piece, m, i);
      for (std::size_t m = 0; m < models_.size(); ++m) {
        const double change = Change(piece, m, i);
        if (vote >= 0 ? change <= 0 : change >= 0) continue;
        sum += shares_[m] * change;
        share += shares_[m];
      }
      if (share > 0) out[i] = static_cast<float>(static_cast<double>(out[i]) + sum / share);
    }
  }

  void Abort() override { counts_.Abort(); }

 private:
  double Change(const Piece& piece, std::size_t model, std::size_t i) const {
    return static_cast<double>(piece.Floats(models_[model])[i] - piece.Floats(base_)[i]);
  }

  /// Of the changes across models, in a buffer of the thread.
  const std::vector<float>& Variances(const Piece& piece) const {
    thread_local std::vector<float> variances;
    variances.resize(piece.size);
    const auto count = static_cast<double>(models_.size());
    for (std::size_t i = 0; i < piece.size; ++i) {
      double mean = 0, square = 0;
      for (std::size_t m = 0; m < models_.size(); ++m) mean += Change(piece, m, i) / count;
      for (std::size_t m = 0; m < models_.size(); ++m) {
        const double deviation = Change(piece, m, i) - mean;
        square += deviation * deviation;
      }
      variances[i] = static_cast<float>(square / count);
    }
    return variances;
  }

  static std::vector<char>& Selected() {
    thread_local std::vector<char> selected;
    return selected;
  }

  /// Fills Selected for the piece. Equal variances are taken by lower index. False: another piece failed.
  bool Select(const Piece& piece) {
    std::vector<char>& selected = Selected();
    selected.assign(piece.size, topk_ >= 1);
    if (!threshold_) return true;
    const float border = std::bit_cast<float>(threshold_->code());
    const std::vector<float>& variances = Variances(piece);
    std::size_t equal[1] = {0};
    for (const float variance : variances) equal[0] += variance == border;
    if (!counts_.Add(piece.index, equal)) return false;
    std::size_t left = threshold_->num_equal_kept() - std::min(threshold_->num_equal_kept(), equal[0]);
    for (std::size_t i = 0; i < piece.size; ++i) {
      selected[i] = variances[i] > border;
      if (variances[i] == border && left > 0) selected[i] = true, --left;
    }
    return true;
  }

  const TensorTask& task_;
  std::size_t base_;
  double topk_;
  std::vector<std::size_t> models_;
  bool counted_ = false;
  std::unique_ptr<MagnitudeThreshold> threshold_;  // of the variances; none: all are kept, or none
  std::vector<double> shares_;
  RunningCounts counts_;
};

}  // namespace

std::unique_ptr<TensorMerge> MakeSce(const TensorTask& task) { return std::make_unique<Sce>(task); }

}  // namespace forge::merge
