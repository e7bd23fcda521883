// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/philox.h"
#include "base/thread_pool.h"
#include "train/torch/token_loss.h"
#include "train/torch/torch_engine.h"
#include "train/torch/training_run.h"

namespace forge::train {

TrainResult TorchEngine::Train(const TrainJob& job) {
  const at::Device device = ParseDevice(job.environment.device);
  ParameterMap parameters = ToParameters(*job.initial, device);
  ParameterMap teacher_parameters;
  if (job.teacher != nullptr) teacher_parameters = ToParameters(*job.teacher, device);
  const TensorModel teacher(job.config, teacher_parameters);

  std::vector<AdamW::Group> groups;
  std::vector<at::Tensor> leaves;
  for (const model::TensorSpec& spec : model::ListTensors(job.config)) {
    if (job.trainable && !job.trainable(spec)) continue;
    parameters.at(spec.name).requires_grad_(true);
    groups.push_back({spec.name, parameters.at(spec.name), !IsVector(spec)});
    leaves.push_back(parameters.at(spec.name));
  }
  AdamW optimizer(std::move(groups), job.optimizer);

  const auto compute = [&](int step) {
    const auto micro_batches = static_cast<std::size_t>(job.micro_batches);
    std::vector<TokenBatch> batches(micro_batches);
    double total_weight = 0;
    for (std::size_t micro = 0; micro < micro_batches; ++micro) {
      batches[micro] = job.batch(step, static_cast<int>(micro));
      total_weight += TotalWeight(batches[micro]);
    }
    std::vector<std::vector<at::Tensor>> gradients(micro_batches);
    std::vector<double> losses(micro_batches);
    ThreadPool::Global().Run(micro_batches, [&](std::size_t micro) {
      at::set_num_threads(1);  // of this thread: the micro-batches are what runs in parallel
      const c10::AutoGradMode gradient_mode(true);
      const TensorModel model(job.config, parameters);
      const at::Tensor loss =
          WeightedLoss(model, job.teacher != nullptr ? &teacher : nullptr, batches[micro], device) /
          total_weight;
      losses[micro] = loss.item<double>();
      gradients[micro] = torch::autograd::grad({loss}, leaves, {}, std::nullopt, false, true);
    });
    StepOutcome outcome{.gradients = std::move(gradients[0]), .loss = losses[0]};
    const c10::NoGradGuard no_gradient;
    for (std::size_t micro = 1; micro < micro_batches; ++micro) {
      outcome.loss += losses[micro];
      AddGradients(gradients[micro], outcome.gradients);
    }
    return outcome;
  };
  const std::string fingerprint = job.environment.name + " " + std::to_string(job.steps) + " " +
                                  std::to_string(job.micro_batches) + " " +
                                  std::to_string(job.optimizer.learning_rate) + job.environment.identity;
  Review review;
  if (job.review)
    review = {[&](int finished) { return job.review(finished, ToWeights(parameters)); }, job.review_interval};
  TrainResult result;
  result.losses =
      RunTraining(optimizer, job.optimizer, job.steps, fingerprint, job.environment, compute, review);
  result.weights = ToWeights(parameters);
  return result;
}

}  // namespace forge::train
