// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>

#include "base/thread_pool.h"
#include "train/torch/thought_forward.h"
#include "train/torch/torch_engine.h"
#include "train/torch/training_run.h"

namespace forge::train {
namespace {

constexpr std::size_t kMicroBatches = 2;

std::vector<float> ToFloats(const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().to(at::kCPU).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

/// Scales gradients [first, last) to a norm of at most 1.
void ClipGroup(std::vector<at::Tensor>& gradients, std::size_t first, std::size_t last) {
  const double norm = GradientNorm(std::span(gradients).subspan(first, last - first));
  if (norm <= 1) return;
  for (std::size_t i = first; i < last; ++i)
    if (gradients[i].defined()) gradients[i].mul_(1 / norm);
}

}  // namespace

ThoughtResult TorchEngine::TrainThoughts(const ThoughtJob& job) {
  const at::Device device = ParseDevice(job.environment->device);
  ParameterMap parameters = ToParameters(*job.initial, device);
  const ParameterMap reference_parameters = ToParameters(*job.initial, device);
  ThoughtParameters thought = ToThoughtParameters(job, device);
  const TensorModel model(job.config, parameters), reference(job.config, reference_parameters);

  std::vector<AdamW::Group> groups;
  for (const model::TensorSpec& spec : model::ListTensors(job.config))
    groups.push_back({spec.name, parameters.at(spec.name), !IsVector(spec)});
  const std::size_t trunk = groups.size();
  for (const auto& [name, tensor] : thought.All())
    groups.push_back({name, *tensor, false, job.head_learning_rate / job.optimizer.learning_rate});
  std::vector<at::Tensor> leaves;
  for (AdamW::Group& group : groups) leaves.push_back(group.parameter.requires_grad_(true));
  OptimizerConfig optimizer_config = job.optimizer;
  optimizer_config.max_gradient_norm =
      0;  // clipped here, by group: the policy term must not shrink the head's steps
  AdamW optimizer(std::move(groups), optimizer_config);
  const int grace_steps = static_cast<int>(job.grace_fraction * job.steps);

  const auto compute = [&](int step) {
    const std::vector<ThoughtRow> rows = job.batch(step);
    std::vector<ThoughtBatch> batches;
    double tokens = 0, columns = 0;
    for (std::size_t micro = 0; micro < kMicroBatches; ++micro) {
      const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() * micro / kMicroBatches);
      const auto end = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() * (micro + 1) / kMicroBatches);
      batches.push_back(MakeThoughtBatch(job, {begin, end}));
      tokens += std::accumulate(batches.back().text_weights.begin(), batches.back().text_weights.end(), 0.0);
      columns +=
          std::accumulate(batches.back().column_weights.begin(), batches.back().column_weights.end(), 0.0);
    }
    std::vector<std::vector<at::Tensor>> gradients(kMicroBatches);
    std::vector<ThoughtLoss> losses(kMicroBatches);
    ThreadPool::Global().Run(kMicroBatches, [&](std::size_t micro) {
      at::set_num_threads(1);
      const c10::AutoGradMode gradient_mode(true);
      SampleThoughts(model, thought, job, batches[micro],
                     static_cast<std::uint64_t>(step) * kMicroBatches + micro, device);
      losses[micro] =
          ComputeThoughtLoss(model, reference, thought, job, batches[micro], tokens, columns, device);
      gradients[micro] = torch::autograd::grad({losses[micro].total}, leaves, {}, std::nullopt, false, true);
    });
    StepOutcome outcome{.gradients = std::move(gradients[0])};
    const c10::NoGradGuard no_gradient;
    ThoughtLoss sum;
    for (std::size_t micro = 0; micro < kMicroBatches; ++micro) {
      outcome.loss += losses[micro].total.item<double>();
      sum.base_nll += losses[micro].base_nll;
      sum.mixed_nll += losses[micro].mixed_nll;
      sum.reward += losses[micro].reward;
      sum.entropy += losses[micro].entropy;
      sum.weight += losses[micro].weight;
      if (micro > 0) AddGradients(gradients[micro], outcome.gradients);
    }
    if (step < grace_steps)
      for (std::size_t i = 0; i < trunk; ++i) outcome.gradients[i].reset();
    ClipGroup(outcome.gradients, 0, trunk);
    ClipGroup(outcome.gradients, trunk, trunk + 2);
    ClipGroup(outcome.gradients, trunk + 2, leaves.size());
    outcome.metrics = {{"base_nll", sum.base_nll},
                       {"mixed_nll", sum.mixed_nll},
                       {"reward", sum.reward},
                       {"thought_entropy", sum.entropy},
                       {"mixing_weight", sum.weight}};
    return outcome;
  };
  const std::string fingerprint = job.environment->name + " " + std::to_string(job.steps) + " " +
                                  std::to_string(job.thought_length) + " " + std::to_string(job.seed);
  RunTraining(optimizer, optimizer_config, job.steps, fingerprint, *job.environment, compute);
  ThoughtResult result{.weights = ToWeights(parameters),
                       .start_embedding = ToFloats(thought.start_embedding),
                       .end_embedding = ToFloats(thought.end_embedding),
                       .mixing_head = {.hidden_size = job.config.hidden_size,
                                       .w1 = ToFloats(thought.w1),
                                       .b1 = ToFloats(thought.b1),
                                       .w2 = ToFloats(thought.w2),
                                       .b2 = ToFloats(thought.b2),
                                       .w3 = ToFloats(thought.w3),
                                       .b3 = ToFloats(thought.b3)[0]}};
  return result;
}

}  // namespace forge::train
