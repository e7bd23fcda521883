// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "merge/exact/families.h"
#include "merge/exact/linear_coefficients.h"
#include "merge/kernels/element_kernels.h"

namespace forge::merge {
namespace {

/// Where one set of coefficients holds.
enum class Scope { kTensor, kRow, kColumn };

/// Below this sine nuslerp mixes linearly; products in double give the sine of close vectors to about 3e-8.
constexpr double kSmallestSine = 1e-6;
/// slerp's limit is mergekit's: |cosine| above 0.9995.
const double kSlerpSmallestSine = std::sqrt(1 - 0.9995 * 0.9995);

class LinearCombination : public TensorMerge {
 public:
  explicit LinearCombination(const TensorTask& task) : task_(task), scope_(ScopeOf(task)) {
    const bool in_changes = task.method->base != BaseRole::kNone && task.base >= 0 && !IsPlainSlerp();
    for (std::size_t s = 0; s < task.sources.size(); ++s)
      if (!in_changes || static_cast<int>(s) != task.base) vectors_.push_back(s);
    if (IsPlainSlerp() && task.base == 1) std::swap(vectors_[0], vectors_[1]);
    base_ = in_changes ? task.base : -1;
    if (!NeedsProducts()) coefficients_ = ToFloat(Coefficients(GramMatrix(vectors_.size())));
  }

  bool ReadsBFloat16() const override { return scope_ != Scope::kColumn; }

  std::optional<Pass> NextPass() override {
    if (!NeedsProducts() || scope_ == Scope::kRow || observed_) return std::nullopt;
    return Pass{.num_sums = NumPairs() * (scope_ == Scope::kColumn ? task_.columns() : 1)};
  }

  void Observe(const Piece& piece, std::span<double> sums) override {
    const std::vector<Values> vectors = Vectors(piece);
    if (scope_ == Scope::kTensor) {
      AddProducts(vectors, 0, piece.size, sums);
      return;
    }
    const std::size_t columns = task_.columns();
    for (std::size_t i = 0; i < piece.size; ++i) {
      std::size_t pair = i % columns * NumPairs();
      for (std::size_t a = 0; a < vectors.size(); ++a)
        for (std::size_t b = 0; b <= a; ++b) sums[pair++] += At(vectors[a], i) * At(vectors[b], i);
    }
  }

  void EndPass(std::span<const double> totals) override {
    observed_ = true;
    for (std::size_t first = 0; first < totals.size(); first += NumPairs()) {
      const std::vector<float> column = ToFloat(Coefficients(ToMatrix(totals.subspan(first, NumPairs()))));
      coefficients_.insert(coefficients_.end(), column.begin(), column.end());
    }
  }

  void Merge(const Piece& piece, float* out) override {
    if (scope_ == Scope::kTensor) return Combine(piece, 0, piece.size, coefficients_.data(), out);
    if (scope_ == Scope::kColumn) return MergeColumns(piece, out);
    const std::size_t columns = task_.columns();
    const std::vector<Values> vectors = Vectors(piece);
    std::vector<double> sums(NumPairs());
    for (std::size_t first = 0; first < piece.size; first += columns) {
      std::fill(sums.begin(), sums.end(), 0.0);
      AddProducts(vectors, first, columns, sums);
      Combine(piece, first, columns, ToFloat(Coefficients(ToMatrix(sums))).data(), out);
    }
  }

 private:
  bool Is(std::string_view method) const { return task_.method->name == method; }
  bool IsPlainSlerp() const { return Is("slerp"); }
  bool NeedsProducts() const {
    if (Is("linear") || Is("passthrough")) return false;
    return !(Is("multislerp") && vectors_.size() == 1);
  }
  static Scope ScopeOf(const TensorTask& task) {
    const TensorParameters& parameters = task.parameters;
    if (task.method->name == "model_stock" && parameters.Get("filter_wise") != 0) return Scope::kRow;
    if (task.method->name != "nuslerp" || parameters.Get("nuslerp_flatten") != 0) return Scope::kTensor;
    // mergekit's names are the wrong way round: row_wise goes along dimension 0, which makes columns.
    if (parameters.Get("nuslerp_row_wise") == 0) return Scope::kRow;
    return task.shape.size() < 2 ? Scope::kTensor : Scope::kColumn;
  }
  std::size_t NumPairs() const { return vectors_.size() * (vectors_.size() + 1) / 2; }

  /// The vectors that angles are between: sources, or their changes from the base (in a buffer of the
  /// thread).
  std::vector<Values> Vectors(const Piece& piece) const {
    std::vector<Values> vectors;
    thread_local std::vector<float> changes;
    if (base_ >= 0) changes.resize(vectors_.size() * piece.size);
    for (std::size_t v = 0; v < vectors_.size(); ++v) {
      Values values = piece.inputs[vectors_[v]];
      if (base_ >= 0) {
        float* change = changes.data() + v * piece.size;
        Elements().subtract(values, piece.inputs[base_], piece.size, change);
        values = {.at = change};
      }
      vectors.push_back(values);
    }
    return vectors;
  }

  static double At(const Values& floats, std::size_t i) {
    return static_cast<double>(static_cast<const float*>(floats.at)[i]);
  }

  static void AddProducts(const std::vector<Values>& vectors, std::size_t first, std::size_t size,
                          std::span<double> sums) {
    std::size_t pair = 0;
    for (std::size_t a = 0; a < vectors.size(); ++a)
      for (std::size_t b = 0; b <= a; ++b)
        sums[pair++] += Elements().dot(vectors[a].From(first), vectors[b].From(first), size);
  }

  GramMatrix ToMatrix(std::span<const double> pairs) const {
    GramMatrix matrix(vectors_.size());
    std::size_t pair = 0;
    for (std::size_t a = 0; a < matrix.size(); ++a)
      for (std::size_t b = 0; b <= a; ++b) matrix.Set(a, b, pairs[pair++]);
    return matrix;
  }

  std::vector<double> Weights() const {
    std::vector<double> weights;
    for (const std::size_t source : vectors_) weights.push_back(task_.parameters.Get("weight", source));
    return weights;
  }

  /// The weights divided by their sum if the flag says so.
  std::vector<double> Shares(std::string_view flag) const {
    std::vector<double> weights = Weights();
    if (task_.parameters.Get(flag) == 0) return weights;
    double sum = 0;
    for (const double weight : weights) sum += weight;
    if (sum == 0)
      throw Error({.what = fmt::format("cannot merge {} by {}", task_.name, task_.method->name),
                   .why = fmt::format("the weights sum to 0, and {} divides by that", flag),
                   .fix = fmt::format("change a weight, or set {}: false", flag)});
    for (double& weight : weights) weight /= sum;
    return weights;
  }

  std::vector<double> Coefficients(const GramMatrix& products) const {
    const TensorParameters& parameters = task_.parameters;
    if (Is("linear")) return Shares("normalize");
    if (Is("passthrough")) return {parameters.Get("scale", 0)};
    if (Is("slerp")) return SlerpCoefficients(products, parameters.Get("t"), kSlerpSmallestSine);
    if (Is("nuslerp")) {
      const std::vector<double> weights = Weights();
      const double sum = weights[0] + weights[1];
      return SlerpCoefficients(products, std::fabs(sum) < 1e-6 ? 0.5 : weights[1] / sum, kSmallestSine);
    }
    if (Is("karcher"))
      return KarcherCoefficients(products, static_cast<int>(parameters.Get("max_iter")),
                                 parameters.Get("tol"));
    if (Is("model_stock"))
      return std::vector<double>(products.size(),
                                 ModelStockRatio(products) / static_cast<double>(products.size()));
    FORGE_CHECK(Is("multislerp"));
    if (vectors_.size() == 1) return {1};  // as mergekit: the weight of a single model has no effect
    std::vector<double> coefficients =
        MultislerpCoefficients(products, Shares("normalize_weights"), parameters.Get("eps"));
    if (coefficients.empty())
      throw Error({.what = fmt::format("cannot merge {} by multislerp", task_.name),
                   .why = "the weighted directions of the models cancel, so their mean has none",
                   .fix = "change a weight, or leave a model out"});
    return coefficients;
  }

  static std::vector<float> ToFloat(const std::vector<double>& values) {
    return {values.begin(), values.end()};
  }

  void Combine(const Piece& piece, std::size_t first, std::size_t size, const float* coefficients,
               float* out) const {
    std::vector<Values> inputs;
    for (const std::size_t source : vectors_) inputs.push_back(piece.inputs[source].From(first));
    if (base_ >= 0)
      Elements().combine_changes(piece.inputs[base_].From(first), inputs.data(), nullptr, coefficients,
                                 inputs.size(), size, out + first);
    else
      Elements().combine(inputs.data(), coefficients, inputs.size(), size, out + first);
  }

  void MergeColumns(const Piece& piece, float* out) const {
    const std::size_t columns = task_.columns();
    for (std::size_t i = 0; i < piece.size; ++i) {
      const float* coefficients = coefficients_.data() + i % columns * vectors_.size();
      const float from = base_ >= 0 ? piece.Floats(static_cast<std::size_t>(base_))[i] : 0.0f;
      float sum = 0;
      for (std::size_t v = 0; v < vectors_.size(); ++v)
        sum += coefficients[v] * (piece.Floats(vectors_[v])[i] - from);
      out[i] = from + sum;
    }
  }

  const TensorTask& task_;
  Scope scope_;
  std::vector<std::size_t> vectors_;  // sources whose angles count
  int base_ = -1;                     // source that changes are taken from; -1: the values themselves
  bool observed_ = false;
  std::vector<float> coefficients_;  // [vectors], or [columns, vectors]
};

}  // namespace

std::unique_ptr<TensorMerge> MakeLinearCombination(const TensorTask& task) {
  return std::make_unique<LinearCombination>(task);
}

}  // namespace forge::merge
