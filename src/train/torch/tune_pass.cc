// SPDX-License-Identifier: Apache-2.0
#include "train/torch/tune_pass.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "base/check.h"
#include "train/torch/logit_loss.h"
#include "train/torch/matrix_product.h"
#include "train/torch/relation_loss.h"

namespace forge::train {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";

at::Tensor FromInts(const std::vector<std::int64_t>& values, const at::Device& device) {
  return at::from_blob(const_cast<std::int64_t*>(values.data()), {static_cast<std::int64_t>(values.size())},
                       at::kLong)
      .clone()
      .to(device);
}

/// The predictions that are learned: where, what and how much.
struct Targets {
  std::vector<std::int64_t> slots, ids;         // index in [rows, length], token
  std::vector<float> weights, teacher_weights;  // of -log p, of the divergence from the teacher (or empty)
  bool has_tokens = true;                       // whether any of `weights` is not 0
  std::int64_t top_k = 0;                       // TokenBatch::top_k
  std::vector<std::int64_t> top_ids;            // [slots, top_k]
  std::vector<float> top_probabilities;

  /// Of the position `at` of the batch.
  void AddTop(const TokenBatch& batch, std::size_t at) {
    for (std::size_t i = at * static_cast<std::size_t>(top_k); i < (at + 1) * static_cast<std::size_t>(top_k);
         ++i) {
      top_ids.push_back(batch.top_ids[i]);
      top_probabilities.push_back(batch.top_probabilities[i]);
    }
  }
};

Targets FindTargets(const TokenBatch& batch) {
  Targets targets;
  targets.has_tokens = !batch.token_weights.empty();
  targets.top_k = batch.top_k;
  std::vector<std::size_t> places;
  const std::int64_t length = batch.length - 1;
  const auto weight = [](const std::vector<float>& weights, std::size_t at) {
    return weights.empty() ? 0.0f : weights[at];
  };
  for (std::int64_t row = 0; row < batch.rows; ++row)
    for (std::int64_t t = 0; t < length; ++t) {
      const auto next = static_cast<std::size_t>(row * batch.length + t + 1);
      const float own = weight(batch.token_weights, next), teacher = weight(batch.teacher_weights, next);
      if (own == 0 && teacher == 0) continue;
      FORGE_CHECK(batch.positions.empty() || batch.positions[next] > 0);  // nothing predicts a first token
      targets.slots.push_back(row * length + t);
      targets.ids.push_back(batch.tokens[next]);
      targets.weights.push_back(own);
      if (!batch.teacher_weights.empty()) targets.teacher_weights.push_back(teacher);
      places.push_back(next);
    }
  // Targets without weight, so that logits have few different sizes: blocks of ever new sizes, of up to 50
  // MB, would tear the heap to pieces.
  while (targets.slots.size() % kHeadStep != 0) {
    targets.slots.push_back(targets.slots.front());
    targets.ids.push_back(targets.ids.front());
    targets.weights.push_back(0);
    if (!batch.teacher_weights.empty()) targets.teacher_weights.push_back(0);
    places.push_back(places.front());
  }
  for (const std::size_t place : places) targets.AddTop(batch, place);
  return targets;
}

/// The shares [n, 1] of the loss that weights have.
at::Tensor SharesOf(const std::vector<float>& weights, double total_weight, const at::Device& device) {
  return (at::from_blob(const_cast<float*>(weights.data()), {static_cast<std::int64_t>(weights.size()), 1},
                        at::kFloat) /
          total_weight)
      .to(device);
}

/// What is predicted from, and by whom.
struct Head {
  std::string name;
  const TunedWeights& weights;
  const TunedWeights* teacher;
  at::Tensor teacher_states;  // [n, hidden]; undefined without a teacher
  double teacher_temperature = 1;
};

/// Loss of the states [n, hidden] of the targets; the gradient of the states comes back in their place.
double HeadLoss(at::Tensor& states, const Targets& targets, const Head& head, double total_weight,
                const GradientSink& sink) {
  const TunedWeights& weights = head.weights;
  const at::Tensor& matrix = weights.Compute(head.name);
  const at::Tensor ids = FromInts(targets.ids, states.device()).unsqueeze(1);
  const at::Tensor shares = SharesOf(targets.weights, total_weight, states.device());
  at::Tensor teacher_shares;
  if (head.teacher_states.defined() || targets.top_k > 0)
    teacher_shares = SharesOf(targets.teacher_weights, total_weight, states.device());
  at::Tensor top_ids, top_probabilities;
  if (targets.top_k > 0) {
    top_ids = FromInts(targets.top_ids, states.device()).view({-1, targets.top_k});
    top_probabilities = at::from_blob(const_cast<float*>(targets.top_probabilities.data()),
                                      {states.size(0), targets.top_k}, at::kFloat)
                            .to(states.device());
  }
  double loss = 0;
  at::Tensor head_gradient;
  for (std::int64_t first = 0; first < states.size(0); first += kHeadRows) {
    const std::int64_t count = std::min(kHeadRows, states.size(0) - first);
    at::Tensor rows = states.narrow(0, first, count);
    const at::Tensor inputs = rows.to(weights.compute_type());
    at::Tensor logits = TimesTransposed(inputs, matrix).to(at::kFloat);
    const auto part_of = [&](const at::Tensor& all) {
      return all.defined() ? all.narrow(0, first, count) : at::Tensor();
    };
    at::Tensor teacher;
    if (head.teacher_states.defined())
      teacher = TimesTransposed(part_of(head.teacher_states).to(weights.compute_type()),
                                head.teacher->Compute(head.name))
                    .to(at::kFloat);
    loss += LossOfLogits(logits, {.chosen = part_of(ids),
                                  .share = part_of(shares),
                                  .has_tokens = targets.has_tokens,
                                  .teacher = std::move(teacher),
                                  .teacher_share = part_of(teacher_shares),
                                  .temperature = head.teacher_temperature,
                                  .top_ids = part_of(top_ids),
                                  .top_probabilities = part_of(top_probabilities)});
    const at::Tensor d_logits = logits.to(weights.compute_type());
    if (weights.IndexOf(head.name) >= 0) {
      const at::Tensor part = TimesTransposed(d_logits.t(), inputs.t());
      head_gradient = head_gradient.defined() ? head_gradient.add_(part) : part.to(at::kFloat);
    }
    rows.copy_(TimesTransposed(d_logits, matrix.t()));
  }
  if (weights.IndexOf(head.name) >= 0)  // also without a target: the other micro-batches wait for it
    weights.Give(head.name,
                 head_gradient.defined() ? head_gradient : at::zeros_like(weights.Weight(head.name)), sink);
  return loss;
}

/// The normed states [n, hidden] that a frozen model predicts the targets from. Of one layer (or none) also
/// what it keeps.
at::Tensor StatesOf(const model::ModelConfig& config, const TunedWeights& weights, const at::Tensor& tokens,
                    const RowLayout& layout, const at::Tensor& slots, int kept_layer,
                    DecoderLayer::Tape& kept) {
  at::Tensor stream = at::embedding(weights.Weight(kEmbedding), tokens);
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    DecoderLayer::Tape tape;
    stream = DecoderLayer(config, weights, layer).Forward(stream, layout, tape);
    if (layer == kept_layer) kept = {.query = tape.query, .key = tape.key, .value = tape.value};
  }
  return RmsNorm(stream.index_select(0, slots), weights.Weight("model.norm.weight"), config.rms_norm_eps).y;
}

}  // namespace

TunePassResult RunTunePass(const model::ModelConfig& config, const TunedWeights& weights,
                           const TunedWeights* teacher, const TokenBatch& batch,
                           const TunePassSettings& settings, const GradientSink& sink) {
  const c10::AutoGradMode gradient_mode(false);
  const auto fits = [&](const std::vector<float>& list) {
    return list.empty() || list.size() == batch.tokens.size();
  };
  const std::size_t top_size = batch.tokens.size() * static_cast<std::size_t>(batch.top_k);
  FORGE_CHECK(fits(batch.token_weights) && fits(batch.teacher_weights) && batch.soft_targets.empty() &&
              (batch.teacher_weights.empty() || teacher != nullptr || batch.top_k > 0) &&
              batch.top_ids.size() == top_size && batch.top_probabilities.size() == top_size &&
              batch.top_k < config.vocab_size);
  const at::Device device = weights.Weight(kEmbedding).device();
  const RowLayout layout = MakeRowLayout(config, batch.rows, batch.length - 1, batch.positions, batch.length,
                                         weights.compute_type(), device);
  const at::Tensor tokens =
      at::from_blob(const_cast<int*>(batch.tokens.data()), {batch.rows, batch.length}, at::kInt)
          .narrow(1, 0, layout.length)
          .flatten()
          .to(at::kLong)
          .to(device);
  const Targets targets = FindTargets(batch);
  const at::Tensor slots = FromInts(targets.slots, device);
  Head head{config.tie_word_embeddings ? kEmbedding : "lm_head.weight",
            weights,
            teacher,
            {},
            settings.teacher_temperature};
  // First, so that what it needs is free again before the activations of the model are kept.
  const bool has_teacher = !targets.teacher_weights.empty() && batch.top_k == 0;
  const int relation_layer = has_teacher && settings.relation_share > 0 ? settings.relation_layer : -1;
  DecoderLayer::Tape teacher_tape;
  if (has_teacher)
    head.teacher_states = StatesOf(config, *teacher, tokens, layout, slots, relation_layer, teacher_tape);

  std::vector<DecoderLayer> layers;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) layers.emplace_back(config, weights, layer);

  at::Tensor stream = at::embedding(weights.Weight(kEmbedding), tokens);
  std::vector<DecoderLayer::Tape> tapes(layers.size());
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    stream = layers[layer].Forward(stream, layout, tapes[layer]);
    if (settings.recompute_activations) tapes[layer] = {.input = tapes[layer].input};
  }

  const at::Tensor chosen = stream.index_select(0, slots);
  const at::Tensor& norm = weights.Weight("model.norm.weight");
  RmsNormed states = RmsNorm(chosen, norm, config.rms_norm_eps);
  TunePassResult result;
  result.loss = HeadLoss(states.y, targets, head, settings.total_weight, sink);
  const RmsNormGradients d_states = RmsNormBackward(states.y, chosen, states.inverse_rms, norm);
  weights.Give("model.norm.weight", d_states.weight, sink);

  at::Tensor gradient = at::zeros_like(stream).index_add_(0, slots, d_states.x);
  stream.reset();
  for (std::size_t layer = layers.size(); layer-- > 0;) {
    if (settings.recompute_activations)
      layers[layer].Forward(at::Tensor(tapes[layer].input), layout, tapes[layer]);
    DecoderLayer::HeadGradients change;
    if (static_cast<int>(layer) == relation_layer)
      change = [&](std::vector<at::Tensor>& heads) {
        result.relation_loss =
            AddRelationLoss(tapes[layer], teacher_tape, layout, settings.relation_share, heads);
      };
    gradient = layers[layer].Backward(gradient, layout, tapes[layer], sink, change);
    tapes[layer] = {};
  }
  if (weights.IndexOf(kEmbedding) >= 0) {
    result.tokens = tokens;
    result.embedding_gradient = gradient;
  }
  return result;
}

}  // namespace forge::train
