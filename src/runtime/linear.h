// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "runtime/kernels/packed_matrix.h"
#include "runtime/ternary/code_matrix.h"

namespace forge::runtime {

/// A linear layer as a model holds it: with float32 activations (PackedMatrix) or int8 ones (CodeMatrix).
class Linear {
 public:
  Linear() = default;
  Linear(PackedMatrix matrix) : matrix_(std::move(matrix)) {}
  Linear(CodeMatrix matrix) : matrix_(std::move(matrix)) {}

  std::size_t in() const {
    return std::visit([](const auto& matrix) { return matrix.in(); }, matrix_);
  }
  std::size_t out() const {
    return std::visit([](const auto& matrix) { return matrix.out(); }, matrix_);
  }
  std::size_t bytes() const {
    return std::visit([](const auto& matrix) { return matrix.bytes(); }, matrix_);
  }
  /// The matrix with int8 activations; null with float32 ones.
  const CodeMatrix* codes() const { return std::get_if<CodeMatrix>(&matrix_); }
  /// How the weights are held, whatever the activations are.
  WeightType type() const;
  /// Values that share an activation scale; 0: the activations are float32.
  std::size_t activation_block() const {
    const CodeMatrix* codes = std::get_if<CodeMatrix>(&matrix_);
    return codes == nullptr ? 0 : codes->block();
  }

  /// Room in `x` for the activations of `tokens`, as the matrix takes them; only with an activation_block.
  void Fit(Int8Rows& x, std::size_t tokens) const { std::get<CodeMatrix>(matrix_).Fit(x, tokens); }

  /// The weights of one output feature, widened: row [in]. For embedding tables, whose rows are tokens.
  void Row(std::size_t out_feature, float* row) const {
    std::visit([&](const auto& matrix) { matrix.Row(out_feature, row); }, matrix_);
  }

  /// y [rows, out] = x [rows, in] W^T (+ bias [out] if not empty), on the global thread pool: PackedMatrix's
  /// product, only without an activation_block.
  void Multiply(const float* x, std::size_t rows, std::span<const float> bias, float* y) const {
    std::get<PackedMatrix>(matrix_).Multiply(x, rows, bias, y);
  }
  /// The same of quantised x, only with an activation_block, which x must have.
  void Multiply(const Int8Rows& x, std::span<const float> bias, float* y) const {
    std::get<CodeMatrix>(matrix_).Multiply(x, bias, y);
  }
  /// CodeMatrix::MultiplyGated, where CanGate says so.
  bool CanGate() const {
    const CodeMatrix* codes = std::get_if<CodeMatrix>(&matrix_);
    return codes != nullptr && codes->CanGate();
  }
  void MultiplyGated(const Int8Rows& x, float* y) const { std::get<CodeMatrix>(matrix_).MultiplyGated(x, y); }
  bool CanGateInto(const Int8Rows& x, const Int8Rows& y) const {
    const CodeMatrix* codes = std::get_if<CodeMatrix>(&matrix_);
    return codes != nullptr && codes->CanGateInto(x, y);
  }
  void MultiplyGated(const Int8Rows& x, Int8Rows& y) const {
    std::get<CodeMatrix>(matrix_).MultiplyGated(x, y);
  }

 private:
  std::variant<PackedMatrix, CodeMatrix> matrix_;
};

}  // namespace forge::runtime
