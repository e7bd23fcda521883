// SPDX-License-Identifier: Apache-2.0
#include "train/torch/thought_forward.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "base/check.h"
#include "base/philox.h"

namespace forge::train {
namespace {

at::Tensor FromFloats(const std::vector<float>& values, at::IntArrayRef shape, const at::Device& device) {
  return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat).clone().to(device);
}

at::Tensor FromInts(const std::vector<int>& values, at::IntArrayRef shape, const at::Device& device) {
  return at::from_blob(const_cast<int*>(values.data()), shape, at::kInt).to(at::kLong).to(device);
}

/// Indices into the packed row, one for each column, as [columns] long.
at::Tensor PassIndex(const ThoughtBatch& batch, int pass, const at::Device& device) {
  const std::int64_t start = batch.text_length + static_cast<std::int64_t>(pass - 1) * batch.columns;
  return at::arange(start, start + batch.columns, at::TensorOptions().dtype(at::kLong).device(device));
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor*>> ThoughtParameters::All() {
  return {{"start_embedding", &start_embedding},
          {"end_embedding", &end_embedding},
          {"w1", &w1},
          {"b1", &b1},
          {"w2", &w2},
          {"b2", &b2},
          {"w3", &w3},
          {"b3", &b3}};
}

ThoughtParameters ToThoughtParameters(const ThoughtJob& job, const at::Device& device) {
  const std::int64_t hidden = job.config.hidden_size;
  const MixingHead& head = job.mixing_head;
  return {.start_embedding = FromFloats(job.start_embedding, {hidden}, device),
          .end_embedding = FromFloats(job.end_embedding, {hidden}, device),
          .w1 = FromFloats(head.w1, {hidden, 2 * hidden}, device),
          .b1 = FromFloats(head.b1, {hidden}, device),
          .w2 = FromFloats(head.w2, {hidden, hidden}, device),
          .b2 = FromFloats(head.b2, {hidden}, device),
          .w3 = FromFloats(head.w3, {hidden}, device),
          .b3 = FromFloats({head.b3}, {1}, device)};
}

ThoughtBatch MakeThoughtBatch(const ThoughtJob& job, const std::vector<ThoughtRow>& rows) {
  ThoughtBatch batch{.rows = static_cast<int>(rows.size())};
  std::size_t positions = 0;
  for (const ThoughtRow& row : rows) {
    batch.text_length = std::max(batch.text_length, static_cast<int>(row.text.size()));
    positions = std::max(positions, row.positions.size());
  }
  batch.columns = static_cast<int>(positions) * job.thoughts_per_position;
  const int passes = job.thought_length + 2 + job.look_ahead - 1;
  for (const ThoughtRow& row : rows) {
    ThoughtLayout layout{.text_length = batch.text_length, .passes = passes};
    for (std::size_t p = 0; p < positions; ++p) {
      const bool real = p < row.positions.size();
      for (int g = 0; g < job.thoughts_per_position; ++g) {
        layout.anchors.push_back(real ? row.positions[p] : 0);
        batch.column_weights.push_back(real ? 1.0f : 0.0f);
      }
    }
    batch.layouts.push_back(std::move(layout));
    for (std::size_t t = 0; t < static_cast<std::size_t>(batch.text_length); ++t) {
      batch.texts.push_back(t < row.text.size() ? row.text[t] : 0);
      batch.text_weights.push_back(t >= 1 && t < row.text.size() ? 1.0f : 0.0f);
    }
  }
  batch.thoughts.assign(static_cast<std::size_t>(batch.rows * batch.columns * job.thought_length), 0);
  return batch;
}

at::Tensor ThoughtStates(const TensorModel& model, const ThoughtParameters& parameters, const ThoughtJob& job,
                         const ThoughtBatch& batch, int passes, const at::Device& device) {
  const std::int64_t rows = batch.rows,
                     size = batch.text_length + static_cast<std::int64_t>(passes) * batch.columns;
  std::vector<int> tokens, positions;
  std::vector<float> is_start, is_end, mask;
  const float hidden_score = -std::numeric_limits<float>::infinity();
  for (int row = 0; row < batch.rows; ++row) {
    ThoughtLayout layout = batch.layouts[static_cast<std::size_t>(row)];
    layout.passes = passes;
    for (const int position : layout.Positions()) positions.push_back(position);
    for (const bool visible : layout.Visible()) mask.push_back(visible ? 0.0f : hidden_score);
    const int* text = batch.texts.data() + row * batch.text_length;
    tokens.insert(tokens.end(), text, text + batch.text_length);
    is_start.insert(is_start.end(), static_cast<std::size_t>(batch.text_length), 0.0f);
    is_end.insert(is_end.end(), static_cast<std::size_t>(batch.text_length), 0.0f);
    for (int pass = 1; pass <= passes; ++pass)
      for (int column = 0; column < batch.columns; ++column) {
        const int sampled = pass - 2;                     // index in the thought
        const int ahead = pass - job.thought_length - 2;  // 1 ..: teacher-forced text after the anchor
        int token = 0;
        if (sampled >= 0 && sampled < job.thought_length)
          token = batch.thoughts[static_cast<std::size_t>(
              (row * batch.columns + column) * job.thought_length + sampled)];
        if (ahead >= 1)
          token =
              text[std::min(batch.text_length - 1, layout.anchors[static_cast<std::size_t>(column)] + ahead)];
        tokens.push_back(token);
        is_start.push_back(pass == 1 ? 1.0f : 0.0f);
        is_end.push_back(pass == job.thought_length + 2 ? 1.0f : 0.0f);
      }
  }
  const at::Tensor start = FromFloats(is_start, {rows, size, 1}, device),
                   end = FromFloats(is_end, {rows, size, 1}, device);
  const at::Tensor embeddings = model.Embed(FromInts(tokens, {rows, size}, device)) * (1 - start - end) +
                                start * parameters.start_embedding + end * parameters.end_embedding;
  return model.Forward(embeddings, FromInts(positions, {rows, size}, device),
                       FromFloats(mask, {rows, 1, size, size}, device));
}

void SampleThoughts(const TensorModel& model, const ThoughtParameters& parameters, const ThoughtJob& job,
                    ThoughtBatch& batch, std::uint64_t stream, const at::Device& device) {
  const c10::NoGradGuard no_gradient;
  const std::int64_t count = static_cast<std::int64_t>(batch.rows) * batch.columns;
  for (int t = 0; t < job.thought_length; ++t) {
    const at::Tensor states = ThoughtStates(model, parameters, job, batch, t + 1, device)
                                  .index_select(1, PassIndex(batch, t + 1, device));
    at::Tensor logits = model.Head(states).reshape({count, job.config.vocab_size});
    for (const int banned : job.banned_tokens) logits.select(1, banned).fill_(-1e10);
    const at::Tensor probabilities = at::softmax(logits.to(at::kDouble), -1).to(at::kCPU).contiguous();
    const double* row = probabilities.const_data_ptr<double>();
    for (std::int64_t i = 0; i < count; ++i, row += job.config.vocab_size) {
      double left = Random(job.seed, "thought/sample",
                           stream * 1'000'003 + static_cast<std::uint64_t>(i * job.thought_length + t))
                        .Uniform();
      int token = 0;
      while (token + 1 < job.config.vocab_size && (left -= row[token]) >= 0) ++token;
      batch.thoughts[static_cast<std::size_t>(i * job.thought_length + t)] = token;
    }
  }
}

at::Tensor Mix(const ThoughtParameters& p, const at::Tensor& base, const at::Tensor& thought) {
  const at::Tensor first = at::relu(at::linear(at::cat({base, thought}, -1), p.w1, p.b1));
  const at::Tensor second = at::relu(at::linear(first, p.w2, p.b2));
  return at::sigmoid(at::linear(second, p.w3.unsqueeze(0), p.b3));
}

ThoughtLoss ComputeThoughtLoss(const TensorModel& model, const TensorModel& reference,
                               const ThoughtParameters& parameters, const ThoughtJob& job,
                               const ThoughtBatch& batch, double tokens, double columns,
                               const at::Device& device) {
  const std::int64_t rows = batch.rows, length = batch.text_length, vocabulary = job.config.vocab_size;
  const int passes = job.thought_length + 2 + job.look_ahead - 1;
  const at::Tensor texts = FromInts(batch.texts, {rows, length}, device);
  const at::Tensor states = ThoughtStates(model, parameters, job, batch, passes, device);
  const at::Tensor text_states = states.narrow(1, 0, length);
  const at::Tensor column_weights = FromFloats(batch.column_weights, {rows, batch.columns}, device);

  const at::Tensor base_logits = model.Head(text_states);  // [rows, length, vocabulary]
  const at::Tensor base_log_probs = at::log_softmax(base_logits.narrow(1, 0, length - 1), -1);
  const at::Tensor text_log_probs =
      base_log_probs.gather(-1, texts.narrow(1, 1, length - 1).unsqueeze(-1)).squeeze(-1);
  const at::Tensor text_weights =
      FromFloats(batch.text_weights, {rows, length}, device).narrow(1, 1, length - 1);
  const at::Tensor base_nll = -(text_log_probs * text_weights).sum();

  at::Tensor reference_logits;
  {
    const c10::NoGradGuard no_gradient;
    const at::Tensor positions =
        at::arange(length, at::TensorOptions().dtype(at::kLong).device(device)).expand({rows, length});
    reference_logits = reference.Head(reference.Forward(reference.Embed(texts), positions));
  }
  std::vector<int> anchors;
  for (const ThoughtLayout& layout : batch.layouts)
    anchors.insert(anchors.end(), layout.anchors.begin(), layout.anchors.end());
  const at::Tensor anchor = FromInts(anchors, {rows, batch.columns}, device);
  at::Tensor mixed_nll = at::zeros({}, states.options()),
             reward = at::zeros({rows, batch.columns}, states.options());
  at::Tensor weight_sum = at::zeros({}, states.options());
  for (int k = 0; k < job.look_ahead; ++k) {
    const at::Tensor from = (anchor + k).clamp_max(length - 1), to = (anchor + k + 1).clamp_max(length - 1);
    const at::Tensor target = texts.gather(1, to);
    const auto at_columns = [&](const at::Tensor& x) {
      return x.gather(1, from.unsqueeze(-1).expand({rows, batch.columns, x.size(-1)}));
    };
    const at::Tensor thought_state =
        states.index_select(1, PassIndex(batch, job.thought_length + 2 + k, device));
    const at::Tensor weight = Mix(parameters, at_columns(text_states), thought_state);
    const at::Tensor mixed = (1 - weight) * at_columns(base_logits) + weight * model.Head(thought_state);
    const at::Tensor log_prob = at::log_softmax(mixed, -1).gather(-1, target.unsqueeze(-1)).squeeze(-1);
    const at::Tensor reference_log_prob =
        at::log_softmax(at_columns(reference_logits), -1).gather(-1, target.unsqueeze(-1)).squeeze(-1);
    mixed_nll = mixed_nll - (log_prob * column_weights).sum() / job.look_ahead;
    reward = reward + (log_prob - reference_log_prob).detach();
    weight_sum = weight_sum + (weight.squeeze(-1) * column_weights).sum().detach() / job.look_ahead;
  }

  // REINFORCE with the mean of the group as baseline; G/(G-1) makes it the leave-one-out estimate, unbiased.
  const int group = job.thoughts_per_position;
  const at::Tensor grouped = reward.view({rows, batch.columns / group, group});
  const at::Tensor advantage =
      ((grouped - grouped.mean(-1, true)) * (static_cast<double>(group) / (group - 1)))
          .view({rows, batch.columns});
  at::Tensor policy = at::zeros({}, states.options()), entropy = at::zeros({}, states.options());
  for (int t = 0; t < job.thought_length; ++t) {
    at::Tensor logits = model.Head(states.index_select(1, PassIndex(batch, t + 1, device)));
    if (!job.banned_tokens.empty())
      logits = logits.index_fill(
          -1, FromInts(job.banned_tokens, {static_cast<std::int64_t>(job.banned_tokens.size())}, device),
          -1e10);
    const at::Tensor log_probs = at::log_softmax(logits, -1);
    std::vector<int> sampled;
    for (std::size_t i = 0; i < batch.column_weights.size(); ++i)
      sampled.push_back(
          batch.thoughts[i * static_cast<std::size_t>(job.thought_length) + static_cast<std::size_t>(t)]);
    const at::Tensor chosen =
        log_probs.gather(-1, FromInts(sampled, {rows, batch.columns, 1}, device)).squeeze(-1);
    policy = policy - (advantage * chosen * column_weights).sum() / job.thought_length;
    entropy = entropy - ((log_probs.exp() * log_probs).sum(-1) * column_weights).sum() / job.thought_length;
  }
  FORGE_CHECK(base_logits.size(-1) == vocabulary);
  ThoughtLoss loss;
  loss.total = job.base_loss_share * base_nll / tokens + (1 - job.base_loss_share) * mixed_nll / columns +
               job.policy_weight * policy / columns - job.entropy_bonus * entropy / columns;
  loss.base_nll = base_nll.item<double>() / tokens;
  loss.mixed_nll = mixed_nll.item<double>() / columns;
  loss.reward = (reward * column_weights).sum().item<double>() / columns;
  loss.entropy = entropy.item<double>() / columns;
  loss.weight = weight_sum.item<double>() / columns;
  return loss;
}

}  // namespace forge::train
