// SPDX-License-Identifier: Apache-2.0
#include "train/torch/logit_loss.h"

#include <ATen/ATen.h>

namespace forge::train {
namespace {

/// The divergence of softened distributions, and its gradient in the place of `logits`; `teacher` is spent.
double SoftenedDivergence(at::Tensor& logits, at::Tensor teacher, const at::Tensor& share,
                          double temperature) {
  logits.div_(temperature);
  teacher.div_(temperature);
  logits.sub_(logits.logsumexp(1, true));
  teacher.sub_(teacher.logsumexp(1, true));
  at::Tensor expected = teacher.exp();
  const at::Tensor divergence = teacher.sub_(logits).mul_(expected).sum(1, true);
  logits.exp_().sub_(expected).mul_(share * temperature);  // T^2 of the loss, 1 / T of the logits
  return temperature * temperature * (divergence * share).sum(at::kDouble).item<double>();
}

/// Minus the log-probabilities of the chosen tokens and the divergence from a teacher whose logits, which are
/// spent, may be undefined; the gradient takes the place of `logits`.
double PlainLoss(at::Tensor& logits, const at::Tensor& chosen, const at::Tensor& share, at::Tensor teacher,
                 const at::Tensor& teacher_share) {
  const at::Tensor normalizer = logits.logsumexp(1, true);
  double loss = ((normalizer - logits.gather(1, chosen)) * share).sum(at::kDouble).item<double>();
  logits.sub_(normalizer);
  if (!teacher.defined()) {
    logits.exp_().scatter_add_(1, chosen, at::full_like(share, -1)).mul_(share);
    return loss;
  }
  teacher.sub_(teacher.logsumexp(1, true));
  at::Tensor expected = teacher.exp();
  const at::Tensor divergence = teacher.sub_(logits).mul_(expected).sum(1, true);
  loss += (divergence * teacher_share).sum(at::kDouble).item<double>();
  logits.exp_().mul_(share + teacher_share).scatter_add_(1, chosen, -share);
  logits.sub_(expected.mul_(teacher_share));
  return loss;
}

/// The divergence from a teacher of whom the likeliest tokens `ids` [n, k] and their probabilities are known;
/// its gradient takes the place of `logits` [n, vocabulary]. With q the model's probabilities, S their sum
/// over the k and r what the teacher's leave to 1: sum p (log p - log q) + r (log r - log(1 - S)); by a logit
/// of the k it changes by q - p, by another by q (1 - r / (1 - S)).
double TopDivergence(at::Tensor& logits, const at::Tensor& ids, const at::Tensor& probabilities,
                     const at::Tensor& share) {
  constexpr double kLeast = 1e-7;  // float32 has nothing between it and 1
  logits.sub_(logits.logsumexp(1, true));
  const at::Tensor log_q = logits.gather(1, ids), q = log_q.exp();
  const at::Tensor rest = (1 - probabilities.sum(1, true)).clamp_min(0),
                   own_rest = (1 - q.sum(1, true)).clamp_min(kLeast);
  const at::Tensor divergence =
      (at::xlogy(probabilities, probabilities) - probabilities * log_q).sum(1, true) + at::xlogy(rest, rest) -
      rest * own_rest.log();
  logits.exp_().mul_(1 - rest / own_rest).scatter_(1, ids, q - probabilities).mul_(share);
  return (divergence * share).sum(at::kDouble).item<double>();
}

}  // namespace

double LossOfLogits(at::Tensor& logits, LogitTargets targets) {
  const bool is_softened = targets.teacher.defined() && targets.temperature != 1;
  if (!targets.top_ids.defined() && !is_softened)
    return PlainLoss(logits, targets.chosen, targets.share, std::move(targets.teacher),
                     targets.teacher_share);
  at::Tensor own;
  if (targets.has_tokens) own = logits.clone();
  double loss =
      is_softened
          ? SoftenedDivergence(logits, std::move(targets.teacher), targets.teacher_share, targets.temperature)
          : TopDivergence(logits, targets.top_ids, targets.top_probabilities, targets.teacher_share);
  if (!own.defined()) return loss;
  loss += PlainLoss(own, targets.chosen, targets.share, {}, {});
  logits.add_(own);
  return loss;
}

}  // namespace forge::train
