// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/engine.h"

namespace forge::train {

/// The Engine of libforge_engine.so. Sets malloc and libtorch up once, when made (libtorch-on-debian.md 3).
class TorchEngine : public Engine {
 public:
  TorchEngine();
  TrainResult Train(const TrainJob& job) override;              // train_job.cc
  TuneResult Tune(const TuneJob& job) override;                 // tune_job.cc
  LayerResult TuneLayer(const LayerJob& job) override;          // layer_job.cc
  ThoughtResult TrainThoughts(const ThoughtJob& job) override;  // thought_training.cc
  std::vector<float> Logits(const model::ModelConfig& config, const model::ModelWeights& weights,
                            std::span<const int> tokens, const std::string& device) override;
  std::vector<std::vector<float>> ScoreEach(const model::ModelConfig& config,
                                            const model::ModelWeights& weights,
                                            std::span<const std::vector<int>> sequences,
                                            const std::string& device) override;
  std::string Describe() const override;
  std::vector<std::string> CudaDevices() const override;
};

}  // namespace forge::train
