// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
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

  ~TaskArithmetic() override {
    for (Model& model : models_)
      if (!model.kept.empty()) Spare().push_back(std::move(model.kept));
  }

  std::optional<Pass> NextPass() override {
    const std::vector<MagnitudeThreshold*> open = OpenThresholds();
    is_sampling_ = std::any_of(open.begin(), open.end(), [](const auto* t) { return t->is_sampling(); });
    if (!open.empty()) return Pass{.sample = is_sampling_};
    RestartCounts();
    if (!rescales_ || rescaled_) return std::nullopt;
    for (Model& model : models_) {
      if (!model.sparsifier->draws()) continue;
      model.kept = TakeSpare();
      model.kept.resize(task_.size() / 64 + task_.size() / task_.columns() + 1);  // pieces are whole rows
    }
    return Pass{.num_sums = 2 * models_.size()};
  }

  bool ReadsBFloat16() const override { return true; }

  void Observe(const Piece& piece, std::span<double> sums) override {
    if (sums.empty()) {
      for (const Model& model : models_)
        for (MagnitudeThreshold* threshold : model.sparsifier->OpenThresholds())
          if (threshold->is_sampling() == is_sampling_)
            threshold->Observe(ChangeOf(piece, model), piece.size);
      return;
    }
    const std::vector<const std::uint64_t*>* kept = Sparsify(piece);
    if (kept == nullptr) return;
    const std::vector<Values>& inputs = Inputs(piece);
    Elements().sum_changes(piece.inputs[base_], inputs.data(), kept->data(), inputs.size(), piece.size,
                           sums.data());
  }

  void EndPass(std::span<const double> totals) override {
    if (totals.empty()) {
      std::vector<MagnitudeThreshold*> open = OpenThresholds();
      std::erase_if(open, [&](const auto* threshold) { return threshold->is_sampling() != is_sampling_; });
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
    const std::vector<const std::uint64_t*>* kept = sparse_ ? Sparsify(piece) : nullptr;
    if (sparse_ && kept == nullptr) return;
    const std::uint64_t* const* bits = sparse_ ? kept->data() : nullptr;
    const std::vector<Values>& inputs = Inputs(piece);
    const Values& base = piece.inputs[base_];
    if (votes_)
      Elements().vote(base, inputs.data(), bits, weights_.data(), normalizes_ ? shares_.data() : nullptr,
                      inputs.size(), lambda_, piece.size, out);
    else
      Elements().combine_changes(base, inputs.data(), bits, weights_.data(), inputs.size(), piece.size, out);
  }

  void Abort() override { counts_.Abort(); }

 private:
  struct Model {
    std::size_t source;
    double weight;
    double rescale = 1;
    std::unique_ptr<Sparsifier> sparsifier;
    /// What was drawn in the pass that finds the rescaling: bits of all pieces (Sparsifier::Keep), each from
    /// word first / 64 + index on.
    std::vector<std::uint64_t> kept;
  };

  /// Memory for the bits of one tensor after the other: fresh pages cost more than what is written to them.
  static std::vector<std::vector<std::uint64_t>>& Spare() {
    thread_local std::vector<std::vector<std::uint64_t>> spare;
    return spare;
  }
  static std::vector<std::uint64_t> TakeSpare() {
    if (Spare().empty()) return {};
    std::vector<std::uint64_t> taken = std::move(Spare().back());
    Spare().pop_back();
    return taken;
  }

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

  /// Of the models alone, in a buffer of the thread.
  const std::vector<Values>& Inputs(const Piece& piece) const {
    thread_local std::vector<Values> inputs;
    inputs.clear();
    for (const Model& model : models_) inputs.push_back(piece.inputs[model.source]);
    return inputs;
  }

  Change ChangeOf(const Piece& piece, const Model& model) const {
    return {piece.inputs[model.source], piece.inputs[base_]};
  }

  void RestartCounts() {
    num_counts_ = 0;
    for (const Model& model : models_) num_counts_ += model.sparsifier->num_counts();
    counts_.Restart(num_counts_);
  }

  /// The bits of what each model keeps, in buffers of the thread or of the model; nullptr: another piece
  /// failed.
  const std::vector<const std::uint64_t*>* Sparsify(const Piece& piece) {
    thread_local std::vector<Sparsifier::Marks> marks;
    thread_local std::vector<std::vector<std::uint64_t>> buffers;
    thread_local std::vector<const std::uint64_t*> kept;
    thread_local std::vector<std::size_t> counts;
    if (marks.size() < models_.size()) marks.resize(models_.size()), buffers.resize(models_.size());
    kept.assign(models_.size(), nullptr);
    counts.clear();
    for (std::size_t m = 0; m < models_.size(); ++m)
      models_[m].sparsifier->Compare(ChangeOf(piece, models_[m]), piece.size, marks[m], counts);
    if (num_counts_ > 0 && !counts_.Add(piece.index, counts)) return nullptr;
    std::size_t used = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      Model& model = models_[m];
      const std::size_t num_counts = model.sparsifier->num_counts();
      const bool is_drawn = !model.kept.empty();
      buffers[m].resize(piece.size / 64 + 1);
      std::uint64_t* bits = is_drawn ? model.kept.data() + piece.first / 64 + piece.index : buffers[m].data();
      if (!is_drawn || !rescaled_)
        model.sparsifier->Keep(piece.first, ChangeOf(piece, model), piece.size, marks[m],
                               std::span(counts).subspan(used, num_counts), bits);
      kept[m] = bits;
      used += num_counts;
    }
    return &kept;
  }

  const TensorTask& task_;
  std::size_t base_;
  bool votes_ = false, normalizes_ = false, sparse_ = false, rescales_ = false;
  bool rescaled_ = false;
  bool is_sampling_ = false;  // in this pass; who has a table waits for the next one
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
