// SPDX-License-Identifier: Apache-2.0
#include "train/torch/token_loss.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "base/check.h"

namespace forge::train {

double TotalWeight(const TokenBatch& batch) {
  double total = 0;
  for (const float weight : batch.token_weights) total += static_cast<double>(weight);
  for (const float weight : batch.teacher_weights) total += static_cast<double>(weight);
  for (const TokenBatch::SoftTarget& target : batch.soft_targets) total += static_cast<double>(target.weight);
  return total;
}

at::Tensor WeightedLoss(const TensorModel& model, const TensorModel* teacher, const TokenBatch& batch,
                        const at::Device& device) {
  const std::int64_t rows = batch.rows, length = batch.length;
  const auto size = static_cast<std::size_t>(rows * length);
  FORGE_CHECK(batch.tokens.size() == size && batch.positions.empty());
  FORGE_CHECK(batch.token_weights.empty() || batch.token_weights.size() == size);
  FORGE_CHECK(batch.top_k == 0);
  FORGE_CHECK(batch.teacher_weights.empty() || (batch.teacher_weights.size() == size && teacher != nullptr));
  const at::Tensor tokens =
      at::from_blob(const_cast<int*>(batch.tokens.data()), {rows, length}, at::kInt).to(at::kLong).to(device);
  // The last token predicts nothing, so the input is one shorter; row-major index of a prediction in [rows,
  // length - 1].
  const at::Tensor inputs = tokens.narrow(1, 0, length - 1);
  const at::Tensor positions =
      at::arange(length - 1, at::TensorOptions().dtype(at::kLong).device(device)).expand({rows, length - 1});

  std::vector<std::int64_t> slots;              // predictions that have any weight
  std::vector<std::int64_t> slot_of(size, -1);  // by row * length + position
  const auto slot = [&](std::size_t index) {
    if (slot_of[index] < 0) {
      slot_of[index] = static_cast<std::int64_t>(slots.size());
      const auto row = static_cast<std::int64_t>(index) / length,
                 position = static_cast<std::int64_t>(index) % length;
      FORGE_CHECK(position >= 1);
      slots.push_back(row * (length - 1) + position - 1);
    }
    return slot_of[index];
  };
  std::vector<std::int64_t> token_slots, token_ids, teacher_slots;
  std::vector<float> token_weights, teacher_weights;
  for (std::size_t i = 0; i < size; ++i) {
    if (!batch.token_weights.empty() && batch.token_weights[i] != 0) {
      token_slots.push_back(slot(i));
      token_ids.push_back(batch.tokens[i]);
      token_weights.push_back(batch.token_weights[i]);
    }
    if (!batch.teacher_weights.empty() && batch.teacher_weights[i] != 0) {
      teacher_slots.push_back(slot(i));
      teacher_weights.push_back(batch.teacher_weights[i]);
    }
  }
  // Soft targets: sum over tokens of weight * p * (log p - log q).
  std::vector<std::int64_t> soft_slots, soft_ids;
  std::vector<float> soft_weights;
  double soft_constant = 0;
  for (const TokenBatch::SoftTarget& target : batch.soft_targets) {
    const std::int64_t where = slot(static_cast<std::size_t>(target.row * length + target.position));
    for (const auto& [id, probability] : target.probabilities) {
      if (probability <= 0) continue;
      soft_slots.push_back(where);
      soft_ids.push_back(id);
      soft_weights.push_back(target.weight * probability);
      soft_constant += static_cast<double>(target.weight) * static_cast<double>(probability) *
                       std::log(static_cast<double>(probability));
    }
  }
  const auto index = [&](const std::vector<std::int64_t>& values) {
    return at::from_blob(const_cast<std::int64_t*>(values.data()), {static_cast<std::int64_t>(values.size())},
                         at::kLong)
        .clone()
        .to(device);
  };
  const auto floats = [&](const std::vector<float>& values) {
    return at::from_blob(const_cast<float*>(values.data()), {static_cast<std::int64_t>(values.size())},
                         at::kFloat)
        .clone()
        .to(device);
  };
  const at::Tensor wanted = index(slots);
  const at::Tensor states = model.Forward(model.Embed(inputs), positions);
  const at::Tensor log_probs =
      at::log_softmax(model.Head(states.reshape({rows * (length - 1), -1}).index_select(0, wanted)), -1);
  at::Tensor loss = at::zeros({}, log_probs.options()) + soft_constant;
  if (!token_slots.empty())
    loss = loss - (log_probs.index({index(token_slots), index(token_ids)}) * floats(token_weights)).sum();
  if (!soft_slots.empty())
    loss = loss - (log_probs.index({index(soft_slots), index(soft_ids)}) * floats(soft_weights)).sum();
  if (!teacher_slots.empty()) {
    const at::Tensor chosen = index(teacher_slots);
    at::Tensor target;
    {
      const c10::NoGradGuard no_gradient;  // only rows that the teacher has a say in go through it
      std::vector<std::int64_t> teacher_rows, row_of(static_cast<std::size_t>(rows), -1), places;
      for (const std::int64_t where : teacher_slots) {
        const std::int64_t flat = slots[static_cast<std::size_t>(where)], row = flat / (length - 1);
        std::int64_t& compact = row_of[static_cast<std::size_t>(row)];
        if (compact < 0) {
          compact = static_cast<std::int64_t>(teacher_rows.size());
          teacher_rows.push_back(row);
        }
        places.push_back(compact * (length - 1) + flat % (length - 1));
      }
      const at::Tensor some = index(teacher_rows);
      const at::Tensor teacher_states =
          teacher->Forward(teacher->Embed(inputs.index_select(0, some)), positions.index_select(0, some));
      const at::Tensor flat_states = teacher_states.reshape({some.size(0) * (length - 1), -1});
      target = at::log_softmax(teacher->Head(flat_states.index_select(0, index(places))), -1);
    }
    const at::Tensor divergence = (target.exp() * (target - log_probs.index_select(0, chosen))).sum(-1);
    loss = loss + (divergence * floats(teacher_weights)).sum();
  }
  return loss;
}

}  // namespace forge::train
