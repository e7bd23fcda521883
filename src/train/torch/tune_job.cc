// SPDX-License-Identifier: Apache-2.0
#include "train/tune_job.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "train/torch/token_loss.h"
#include "train/torch/torch_engine.h"
#include "train/torch/training_run.h"
#include "train/torch/tune_pass.h"

namespace forge::train {
namespace {

/// Of all that decides the numbers of the job and is not in its identity.
std::string FingerprintOf(const TuneJob& job) {
  std::string text = "tune " + job.environment->name + " " + std::to_string(job.steps) + " " +
                     std::to_string(job.micro_batches) + " " + std::to_string(job.optimizer.learning_rate) +
                     (job.precision == Precision::kBFloat16 ? " bf16 " : " f32 ") +
                     std::to_string(job.lora.rank) + " " + std::to_string(job.lora.alpha) + " " +
                     std::to_string(job.lora.seed);
  for (const std::string& target : job.lora.targets) text += " " + target;
  if (job.teacher_temperature != 1) text += " temperature " + std::to_string(job.teacher_temperature);
  if (job.straight_through.int8_activations) text += " int8";
  if (job.relation_share > 0)
    text += " relation " + std::to_string(job.relation_layer) + " " + std::to_string(job.relation_share);
  return text + " " + job.environment->identity;
}

}  // namespace

TuneResult TorchEngine::Tune(const TuneJob& job) {
  const c10::NoGradGuard no_gradient;
  model::CheckEngineComputes(job.config, {.rope_scaling = true}, "the training engine");
  const at::Device device = ParseDevice(job.environment->device);
  TunedWeights weights(job, device);
  std::optional<TunedWeights> teacher;
  if (job.teacher != nullptr) teacher = TunedWeights::Teacher(job, device);
  AdamW optimizer(weights.Groups(), job.optimizer);
  GradientSum gradients(optimizer.groups().size());
  const int embedding = weights.IndexOf("model.embed_tokens.weight");

  const auto compute = [&](int step) {
    weights.Refresh(step);
    const auto micro_batches = static_cast<std::size_t>(job.micro_batches);
    std::vector<TokenBatch> batches;
    double total_weight = 0;
    for (int micro = 0; micro < job.micro_batches; ++micro) {
      batches.push_back(job.batch(step, micro));
      total_weight += TotalWeight(batches.back());
    }
    gradients.Clear();
    std::vector<TunePassResult> results(micro_batches);
    RunMicroBatches(micro_batches, gradients, [&](std::size_t micro) {
      results[micro] = RunTunePass(job.config, weights, teacher ? &*teacher : nullptr, batches[micro],
                                   {.total_weight = total_weight,
                                    .teacher_temperature = job.teacher_temperature,
                                    .recompute_activations = job.recompute_activations,
                                    .relation_layer = job.relation_layer,
                                    .relation_share = job.relation_share},
                                   {&gradients, micro});
    });
    StepOutcome outcome;
    double relation_loss = 0;
    for (TunePassResult& result : results) {
      outcome.loss += result.loss;
      relation_loss += result.relation_loss / static_cast<double>(results.size());
      if (embedding < 0) continue;
      at::Tensor& sum = gradients.sums()[static_cast<std::size_t>(embedding)];
      if (!sum.defined()) sum = at::zeros_like(weights.Weight("model.embed_tokens.weight"));
      sum.index_add_(0, result.tokens, result.embedding_gradient);
    }
    if (job.relation_share > 0) outcome.metrics.emplace_back("relation_loss", relation_loss);
    outcome.gradients = std::move(gradients.sums());
    gradients.sums().resize(outcome.gradients.size());
    if (device.is_cpu()) outcome.gradient_norm = GradientNormInPieces(outcome.gradients);
    return outcome;
  };
  TuneResult result;
  result.losses =
      RunTraining(optimizer, job.optimizer, job.steps, FingerprintOf(job), *job.environment, compute);
  weights.CopyTo(*job.weights);
  if (job.lora.rank > 0) result.adapter = weights.Adapter();
  return result;
}

}  // namespace forge::train
