// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "train/torch/row_layout.h"
#include "train/torch/tuned_weights.h"

namespace forge::train {

/// y = x / rms(x) * weight of each row, and its gradient. x [N, size] float32.
struct RmsNormed {
  at::Tensor y, inverse_rms;  // [N, size], [N, 1]
};
RmsNormed RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);
struct RmsNormGradients {
  at::Tensor x, weight;
};
RmsNormGradients RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& inverse_rms,
                                 const at::Tensor& weight);

/// One decoder layer, forward and backward by hand: TensorModel is its twin with autograd. By hand, because
/// then it is known what is kept (LayerTape), products run in the type and the library that is fastest, and
/// gradients go into one sum instead of one for each micro-batch.
class DecoderLayer {
 public:
  /// What the backward pass needs. [N, ..] with N = rows * length, as float32 or in the compute type (c).
  struct Tape {
    at::Tensor input, middle;  // residual stream before attention and before the MLP: [N, hidden]
    at::Tensor input_inverse, middle_inverse;  // [N, 1]
    at::Tensor query, key, value;  // c, rotated, [rows, heads, length, head_dim]; leaves of `mixed`
    at::Tensor mixed;              // c, attention with its graph [rows, heads, length, head_dim]
    at::Tensor gate, up;           // c, [N, intermediate]
  };

  DecoderLayer(const model::ModelConfig& config, const TunedWeights& weights, int layer);

  /// The stream [N, hidden] after the layer; fills the tape.
  at::Tensor Forward(const at::Tensor& input, const RowLayout& layout, Tape& tape) const;
  /// Called with the gradients of query, key and value of the tape, which it may change.
  using HeadGradients = std::function<void(std::vector<at::Tensor>&)>;
  /// The gradient of the stream before the layer from that after it.
  at::Tensor Backward(const at::Tensor& gradient, const RowLayout& layout, const Tape& tape,
                      const GradientSink& sink, const HeadGradients& change = {}) const;

 private:
  void Attend(const at::Tensor& normed, const RowLayout& layout, Tape& tape) const;
  at::Tensor Flatten(const at::Tensor& heads) const;  // [rows, heads, length, d] to [N, heads * d]

  const model::ModelConfig& config_;
  const TunedWeights& weights_;
  std::string prefix_;
};

}  // namespace forge::train
