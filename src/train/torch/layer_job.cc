// SPDX-License-Identifier: Apache-2.0
#include "train/layer_job.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/thread_pool.h"
#include "train/torch/decoder_layer.h"
#include "train/torch/soft_ternary.h"
#include "train/torch/torch_engine.h"
#include "train/torch/training_run.h"

namespace forge::train {
namespace {

at::Tensor FromFloats(const std::vector<float>& values, at::IntArrayRef sizes, const at::Device& device) {
  return at::from_blob(const_cast<float*>(values.data()), sizes, at::kFloat).to(device);
}

/// The linears of the layer, and where their values and gradients are.
class SoftLayer {
 public:
  SoftLayer(const LayerJob& job, const at::Device& device) : job_(job), effective_(*job.weights) {
    for (const auto& [name, start] : *job.ternary)
      linears_.emplace(name, SoftTernary(job.weights->at(name), start.scales, start.group, device));
    TuneJob tuned{.config = job.config, .weights = &effective_};
    tuned.trainable = [](const model::TensorSpec& spec) { return model::IsLinear(spec); };
    tuned.precision = job.precision;
    weights_.emplace(tuned, device);
    FORGE_CHECK(weights_->Groups().size() == linears_.size());
  }

  const TunedWeights& weights() const { return *weights_; }

  std::vector<AdamW::Group> Groups() const {
    std::vector<AdamW::Group> groups;
    for (const auto& [name, linear] : linears_)
      for (AdamW::Group& group : linear.Groups(name)) groups.push_back(std::move(group));
    return groups;
  }

  void Refresh(int step) {
    Each([&](const std::string& name, const SoftTernary& linear) {
      at::Tensor(weights_->Weight(name)).copy_(linear.Values(Slope(step)));
    });
    weights_->Refresh(step);
  }

  /// Gradients of Groups from those of the values.
  std::vector<at::Tensor> Backward(const std::vector<at::Tensor>& values, int step) const {
    std::map<std::string, std::vector<at::Tensor>> parts;
    for (const auto& [name, linear] : linears_) parts[name];
    Each([&](const std::string& name, const SoftTernary& linear) {
      parts.at(name) =
          linear.Backward(values[static_cast<std::size_t>(weights_->IndexOf(name))], Slope(step));
    });
    std::vector<at::Tensor> gradients;
    for (auto& [name, part] : parts) gradients.insert(gradients.end(), part.begin(), part.end());
    return gradients;
  }

  void Harden(model::TernaryWeights& ternary) const {
    for (const auto& [name, linear] : linears_) ternary.at(name) = linear.Harden();
  }

 private:
  std::optional<double> Slope(int step) const {
    const double soft_steps = job_.soft_share * job_.steps;
    if (step >= soft_steps) return std::nullopt;
    return SoftTernary::kFirstSlope *
           std::pow(SoftTernary::kLastSlope / SoftTernary::kFirstSlope, step / soft_steps);
  }

  template <class Work>
  void Each(const Work& work) const {
    std::vector<const std::pair<const std::string, SoftTernary>*> all;
    for (const auto& entry : linears_) all.push_back(&entry);
    ThreadPool::Global().Run(all.size(), [&](std::size_t i) {
      at::set_num_threads(1);  // of this thread
      const c10::NoGradGuard no_gradient;
      work(all[i]->first, all[i]->second);
    });
  }

  const LayerJob& job_;
  model::ModelWeights effective_;  // what the products use
  std::map<std::string, SoftTernary> linears_;
  std::optional<TunedWeights> weights_;
};

/// Loss of one micro-batch: the sum of weight times squared error; gradients go to the sink.
double RunLayerPass(const LayerJob& job, const TunedWeights& weights, const LayerBatch& batch,
                    const at::Device& device, const GradientSink& sink) {
  const c10::AutoGradMode gradient_mode(false);
  const std::int64_t tokens = std::int64_t{batch.rows} * batch.length, hidden = job.config.hidden_size;
  const RowLayout layout = MakeRowLayout(job.config, batch.rows, batch.length, batch.positions, batch.length,
                                         weights.compute_type(), device);
  const DecoderLayer layer(job.config, weights, 0);
  DecoderLayer::Tape tape;
  const at::Tensor output = layer.Forward(FromFloats(batch.inputs, {tokens, hidden}, device), layout, tape);
  const at::Tensor error = output - FromFloats(batch.targets, {tokens, hidden}, device);
  const at::Tensor weighted = error * FromFloats(batch.weights, {tokens, 1}, device);
  layer.Backward(weighted * 2, layout, tape, sink);
  return (weighted * error).sum(at::kDouble).item<double>();
}

std::string FingerprintOf(const LayerJob& job) {
  return "layer " + job.environment->name + " " + std::to_string(job.steps) + " " +
         std::to_string(job.micro_batches) + " " + std::to_string(job.optimizer.learning_rate) + " " +
         std::to_string(job.soft_share) + (job.precision == Precision::kBFloat16 ? " bf16 " : " f32 ") +
         job.environment->identity;
}

}  // namespace

LayerResult TorchEngine::TuneLayer(const LayerJob& job) {
  const c10::NoGradGuard no_gradient;
  model::CheckEngineComputes(job.config, {.rope_scaling = true}, "the training engine");
  FORGE_CHECK(job.config.num_hidden_layers == 1);
  const at::Device device = ParseDevice(job.environment->device);
  SoftLayer layer(job, device);
  AdamW optimizer(layer.Groups(), job.optimizer);
  GradientSum gradients(layer.weights().Groups().size());
  const auto compute = [&](int step) {
    layer.Refresh(step);
    gradients.Clear();
    const auto micro_batches = static_cast<std::size_t>(job.micro_batches);
    std::vector<double> losses(micro_batches);
    RunMicroBatches(micro_batches, gradients, [&](std::size_t micro) {
      losses[micro] = RunLayerPass(job, layer.weights(), job.batch(step, static_cast<int>(micro)), device,
                                   {&gradients, micro});
    });
    StepOutcome outcome;
    for (const double loss : losses) outcome.loss += loss;
    outcome.gradients = layer.Backward(gradients.sums(), step);
    return outcome;
  };
  LayerResult result;
  result.losses =
      RunTraining(optimizer, job.optimizer, job.steps, FingerprintOf(job), *job.environment, compute);
  layer.Harden(*job.ternary);
  return result;
}

}  // namespace forge::train
