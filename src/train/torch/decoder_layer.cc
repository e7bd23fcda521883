// SPDX-License-Identifier: Apache-2.0
#include "train/torch/decoder_layer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

namespace forge::train {
namespace {

// Half-split layout: (a, b) -> (a cos - b sin, b cos + a sin). The inverse has -sine.
at::Tensor Rotate(const at::Tensor& heads, const at::Tensor& cosine, const at::Tensor& sine) {
  const std::int64_t half = heads.size(-1) / 2;
  const at::Tensor a = heads.narrow(-1, 0, half), b = heads.narrow(-1, half, half);
  return at::cat({a * cosine - b * sine, b * cosine + a * sine}, -1).to(heads.scalar_type());
}

}  // namespace

RmsNormed RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  at::Tensor inverse = at::rsqrt(x.square().mean(-1, true) + epsilon);
  at::Tensor y = (x * inverse).mul_(weight);
  return {std::move(y), std::move(inverse)};
}

RmsNormGradients RmsNormBackward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& inverse_rms,
                                 const at::Tensor& weight) {
  const at::Tensor unit = x * inverse_rms, d_unit = dy * weight;
  const at::Tensor along = (d_unit * unit).mean(-1, true);  // what the norm takes away
  return {(d_unit - unit * along).mul_(inverse_rms), (dy * unit).sum(0)};
}

DecoderLayer::DecoderLayer(const model::ModelConfig& config, const TunedWeights& weights, int layer)
    : config_(config), weights_(weights), prefix_("model.layers." + std::to_string(layer) + ".") {}

at::Tensor DecoderLayer::Flatten(const at::Tensor& heads) const {
  return heads.transpose(1, 2).reshape({heads.size(0) * heads.size(2), -1});
}

void DecoderLayer::Attend(const at::Tensor& normed, const RowLayout& layout, Tape& tape) const {
  const auto heads = [&](const char* name, int count) {
    return weights_.Linear(normed, prefix_ + "self_attn." + name)
        .view({layout.rows, layout.length, count, config_.head_dim})
        .transpose(1, 2);
  };
  tape.query = Rotate(heads("q_proj", config_.num_attention_heads), layout.cosine, layout.sine);
  tape.key = Rotate(heads("k_proj", config_.num_key_value_heads), layout.cosine, layout.sine);
  tape.value = heads("v_proj", config_.num_key_value_heads).contiguous();
  const c10::AutoGradMode gradient_mode(true);  // a graph of the attention alone
  for (at::Tensor* leaf : {&tape.query, &tape.key, &tape.value}) leaf->requires_grad_(true);
  const std::int64_t groups = config_.num_attention_heads / config_.num_key_value_heads;
  const auto repeat = [&](const at::Tensor& t) { return groups == 1 ? t : t.repeat_interleave(groups, 1); };
  const at::Tensor key = repeat(tape.key), value = repeat(tape.value);
  tape.mixed = layout.mask.defined()
                   ? at::scaled_dot_product_attention(tape.query, key, value, layout.mask)
                   : at::scaled_dot_product_attention(tape.query, key, value, {}, 0.0, true);
}

at::Tensor DecoderLayer::Forward(const at::Tensor& input, const RowLayout& layout, Tape& tape) const {
  const at::ScalarType type = weights_.compute_type();
  tape.input = input;
  const RmsNormed first =
      RmsNorm(input, weights_.Weight(prefix_ + "input_layernorm.weight"), config_.rms_norm_eps);
  tape.input_inverse = first.inverse_rms;
  Attend(first.y.to(type), layout, tape);
  tape.middle = input + weights_.Linear(Flatten(tape.mixed.detach()), prefix_ + "self_attn.o_proj");
  const RmsNormed second = RmsNorm(tape.middle, weights_.Weight(prefix_ + "post_attention_layernorm.weight"),
                                   config_.rms_norm_eps);
  tape.middle_inverse = second.inverse_rms;
  const at::Tensor normed = second.y.to(type);
  tape.gate = weights_.Linear(normed, prefix_ + "mlp.gate_proj");
  tape.up = weights_.Linear(normed, prefix_ + "mlp.up_proj");
  return tape.middle + weights_.Linear(at::silu(tape.gate).mul_(tape.up), prefix_ + "mlp.down_proj");
}

at::Tensor DecoderLayer::Backward(const at::Tensor& gradient, const RowLayout& layout, const Tape& tape,
                                  const GradientSink& sink, const HeadGradients& change) const {
  const at::ScalarType type = weights_.compute_type();
  const auto normed = [&](const at::Tensor& x, const at::Tensor& inverse, const std::string& name) {
    return (x * inverse).mul_(weights_.Weight(prefix_ + name)).to(type);
  };
  const auto through_norm = [&](const at::Tensor& dy, const at::Tensor& x, const at::Tensor& inverse,
                                const std::string& name) {
    RmsNormGradients gradients =
        RmsNormBackward(dy.to(at::kFloat), x, inverse, weights_.Weight(prefix_ + name));
    weights_.Give(prefix_ + name, gradients.weight, sink);
    return gradients.x;
  };
  const auto back = [&](const at::Tensor& x, const at::Tensor& dy, const char* name) {
    return weights_.LinearBackward(x, dy, prefix_ + name, sink);
  };

  const at::Tensor activated = at::silu(tape.gate);
  const at::Tensor d_product = back(activated * tape.up, gradient.to(type), "mlp.down_proj");
  const at::Tensor mlp_input = normed(tape.middle, tape.middle_inverse, "post_attention_layernorm.weight");
  at::Tensor d_mlp_input = back(mlp_input, d_product * activated, "mlp.up_proj");
  d_mlp_input.add_(back(mlp_input, at::silu_backward(d_product * tape.up, tape.gate), "mlp.gate_proj"));
  const at::Tensor d_middle = gradient + through_norm(d_mlp_input, tape.middle, tape.middle_inverse,
                                                      "post_attention_layernorm.weight");

  const at::Tensor d_mixed = back(Flatten(tape.mixed.detach()), d_middle.to(type), "self_attn.o_proj")
                                 .view({layout.rows, layout.length, -1, config_.head_dim})
                                 .transpose(1, 2);
  std::vector<at::Tensor> d_heads =
      torch::autograd::grad({tape.mixed}, {tape.query, tape.key, tape.value}, {d_mixed});
  if (change) change(d_heads);
  const at::Tensor attention_input = normed(tape.input, tape.input_inverse, "input_layernorm.weight");
  const at::Tensor opposite = -layout.sine;
  at::Tensor d_attention_input =
      back(attention_input, Flatten(Rotate(d_heads[0], layout.cosine, opposite)), "self_attn.q_proj");
  d_attention_input.add_(
      back(attention_input, Flatten(Rotate(d_heads[1], layout.cosine, opposite)), "self_attn.k_proj"));
  d_attention_input.add_(back(attention_input, Flatten(d_heads[2]), "self_attn.v_proj"));
  return d_middle + through_norm(d_attention_input, tape.input, tape.input_inverse, "input_layernorm.weight");
}

}  // namespace forge::train
