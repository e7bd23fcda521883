// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "model/model_weights.h"
#include "train/layer_job.h"
#include "train/optimizer_config.h"
#include "train/thought_job.h"
#include "train/token_batch.h"
#include "train/tune_job.h"

namespace forge::train {

/// Where and how a training job runs, keeps itself and reports.
struct JobEnvironment {
  std::string device = "cpu";  // "cpu" or "cuda"
  MetricSink* sink = nullptr;
  const StopToken* stop = nullptr;
  std::string name = "train";        // prefix of metrics: "<name>/loss"
  std::filesystem::path checkpoint;  // file to resume from and to write; empty: none
  int checkpoint_interval = 100;     // steps
  /// Of what the batches and the start are made from, where the file may outlive them; a checkpoint with
  /// another identity is not gone on from.
  std::string identity = {};
  /// What progress is counted in: tokens if their number in a step is given, else steps.
  int tokens_per_step = 0;
};

struct TrainJob {
  model::ModelConfig config;
  const model::ModelWeights* initial = nullptr;
  const model::ModelWeights* teacher = nullptr;  // frozen; may be null
  int steps = 0;
  /// Micro-batches of a step. They run on separate threads and are added in order, so the result does not
  /// depend on the number of threads. The loss of a step is the sum of all weighted terms over the sum of all
  /// weights.
  int micro_batches = 2;
  /// Pure: the same (step, micro) gives the same batch, which is what makes a resumed run exact. Called on
  /// any thread.
  std::function<TokenBatch(int step, int micro)> batch;
  OptimizerConfig optimizer;
  std::function<bool(const model::TensorSpec&)> trainable;  // empty: everything
  /// Called before the first step and after each review_interval steps with the weights of that moment, also
  /// right after a resume; may change what `batch` gives, as a function of these weights only. false ends the
  /// training. A job with a review keeps checkpoints at reviews only, so that a resumed run sees the same
  /// ones.
  std::function<bool(int finished_steps, const model::ModelWeights& weights)> review;
  int review_interval = 25;
  JobEnvironment environment;
};

struct TrainResult {
  model::ModelWeights weights;
  std::vector<double> losses;  // of each step of this call; a resumed call has those after the checkpoint
};

/// What needs gradients. Implemented in libforge_engine.so on libtorch; no torch type here.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Trains from `initial`, or goes on from the checkpoint if that belongs to this job (same shape and
  /// steps). Stops with Error(kInterrupted) after writing a checkpoint when environment.stop asks. Throws
  /// Error(kInput) when the loss is not finite, with the step.
  virtual TrainResult Train(const TrainJob& job) = 0;
  /// Fine-tuning of models that are large for this machine: tune_job.h. Resumes, stops and fails as Train.
  virtual TuneResult Tune(const TuneJob& job) = 0;
  /// Block reconstruction of one ternary layer; layer_job.h. Resumes, stops and fails as Train.
  virtual LayerResult TuneLayer(const LayerJob& job) = 0;
  /// Quiet-STaR training; thought_job.h.
  virtual ThoughtResult TrainThoughts(const ThoughtJob& job) = 0;
  /// logits [tokens.size(), vocab_size], for the comparison with the runtime.
  virtual std::vector<float> Logits(const model::ModelConfig& config, const model::ModelWeights& weights,
                                    std::span<const int> tokens, const std::string& device) = 0;
  /// Log-probs of tokens 1 .. of each sequence, one sequence after the other: what a plain libtorch program
  /// does. For the comparison with the runtime, and its speed.
  virtual std::vector<std::vector<float>> ScoreEach(const model::ModelConfig& config,
                                                    const model::ModelWeights& weights,
                                                    std::span<const std::vector<int>> sequences,
                                                    const std::string& device) = 0;
  /// "libtorch 2.13.0, 2 threads, CUDA: none"; for doctor.
  virtual std::string Describe() const = 0;
  /// Names and memory of the CUDA devices, empty without CUDA.
  virtual std::vector<std::string> CudaDevices() const = 0;
};

/// Opens libforge_engine.so: FORGE_ENGINE, else beside this program. Throws Error(kEnvironment), saying how
/// to get it, when it is not there. Opened once; later calls return the same engine.
Engine& OpenEngine();

/// The file OpenEngine would open, for doctor; empty if there is none.
std::filesystem::path EnginePath();

}  // namespace forge::train
