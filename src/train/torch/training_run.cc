// SPDX-License-Identifier: Apache-2.0
#include "train/torch/training_run.h"

#include <ATen/Context.h>

#include <cmath>

#include "base/error.h"
#include "train/torch/checkpoint.h"

namespace forge::train {

at::Device ParseDevice(const std::string& device) {
  if (device == "cpu") return at::Device(at::kCPU);
  if (device != "cuda")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "unknown device " + device,
                 .why = "forge knows auto, cpu and cuda",
                 .fix = "use --device cpu"});
  if (!at::globalContext().hasCUDA())
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot train on cuda",
                 .why = "libtorch finds no CUDA device (or is a CPU build)",
                 .fix = "use --device cpu, or give a CUDA build of libtorch with -DFORGE_TORCH_DIR on a "
                        "machine with an NVIDIA GPU"});
  return at::Device(at::kCUDA, 0);
}

std::vector<double> RunTraining(AdamW& optimizer, const OptimizerConfig& config, int steps,
                                std::string_view fingerprint, const JobEnvironment& environment,
                                const std::function<StepOutcome(int step)>& compute, const Review& review) {
  static NullMetricSink null_sink;
  MetricSink& sink = environment.sink != nullptr ? *environment.sink : null_sink;
  const bool keeps = !environment.checkpoint.empty();
  int step = 0;
  if (keeps) step = LoadCheckpoint(environment.checkpoint, fingerprint, optimizer.groups()).value_or(0);
  if (step > 0)
    sink.Log(environment.name + ": going on after step " + std::to_string(step) + " of " +
             std::to_string(steps));
  std::vector<double> losses;
  int saved = step;
  for (; step < steps; ++step) {
    if (environment.stop != nullptr && environment.stop->stop_requested()) {
      if (keeps && saved != step && !review.call)
        SaveCheckpoint(environment.checkpoint, fingerprint, step, optimizer.groups());
      environment.stop->ThrowIfRequested(("training step " + std::to_string(step)).c_str());
    }
    if (review.call && step % review.interval == 0 && !review.call(step)) break;
    const double learning_rate = LearningRate(config, step, steps);
    const StepOutcome outcome = compute(step);
    if (!std::isfinite(outcome.loss))
      throw Error({.what = environment.name + ": the training loss is " + std::to_string(outcome.loss) +
                           " at step " + std::to_string(step),
                   .why = "the weights or the data hold values that cannot be trained on, or the learning "
                          "rate is too high",
                   .fix = "lower the learning rate (it is " + std::to_string(config.learning_rate) + ")"});
    double gradient_norm = 0;
    if (outcome.gradient_norm)
      optimizer.Step(outcome.gradients, gradient_norm = *outcome.gradient_norm, learning_rate, step);
    else
      gradient_norm = optimizer.Step(outcome.gradients, learning_rate, step);
    losses.push_back(outcome.loss);
    if (const std::int64_t tokens = environment.tokens_per_step; tokens > 0)
      sink.Progress(environment.name, (step + 1) * tokens, steps * tokens, "tokens");
    else
      sink.Progress(environment.name, step + 1, steps, "steps");
    if (step % 10 == 9 || step + 1 == steps) {
      sink.Metric(environment.name + "/loss", step, outcome.loss);
      sink.Metric(environment.name + "/learning_rate", step, learning_rate);
      sink.Metric(environment.name + "/gradient_norm", step, gradient_norm);
      for (const auto& [name, value] : outcome.metrics)
        sink.Metric(environment.name + "/" + name, step, value);
    }
    const int interval = review.call ? review.interval : environment.checkpoint_interval;
    if (keeps && (step + 1) % interval == 0 && step + 1 < steps) {
      SaveCheckpoint(environment.checkpoint, fingerprint, step + 1, optimizer.groups());
      saved = step + 1;
    }
  }
  return losses;
}

}  // namespace forge::train
