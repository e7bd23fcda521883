// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/stop_token.h"
#include "compress/quantised_linear.h"
#include "compress/text_rows.h"
#include "model/weight_source.h"
#include "train/precision.h"

namespace forge::compress {

/// How the ternary linears of a layer are trained together once each is quantised by itself.
struct BlockSettings {
  int steps = 0;                // of each layer; 0: not
  double learning_rate = 0.02;  // of the weights in units of their group's scale
  int tokens = 1024;            // of a step
  train::Precision precision = train::Precision::kFloat32;
  std::string device = "cpu";
  std::uint64_t seed = 1;  // of the order of the texts
};

/// Mean over the tokens of |y - target|^2 / |target|^2 of the streams behind a layer.
struct BlockReport {
  int layer = 0;
  double before = 0, after = 0;  // of held-out texts, without and with the training
  bool kept = false;             // whether the trained linears are used: where the error fell
};

/// A linear of a layer that is not handed on yet.
struct BlockLinear {
  std::string name;
  QuantisedLinear quantised;  // one ternary plane
};

/// Goes with QuantiseLayerwise (layerwise.h) from layer to layer: the original model's residual stream is
/// what each layer of the ternary one is trained to give, from the stream that its ternary predecessors give
/// (train/layer_job.h). So a layer also makes good what was lost before it.
class BlockReconstruction {
 public:
  /// `states`: the embeddings of all tokens [tokens, hidden_size]. All must outlive it.
  BlockReconstruction(const model::WeightSource& source, const TextRows& rows, std::vector<float> states,
                      const BlockSettings& settings, const StopToken& stop);

  /// Before the linears of a layer are quantised, with the stream that they will take.
  void Begin(int layer, const std::vector<float>& states);
  /// Trains the linears; `states` is the stream behind the layer with them. Both are replaced if the error of
  /// the held-out texts falls. Not called for a layer whose linears are known.
  BlockReport End(std::vector<BlockLinear>& linears, std::vector<float>& states);

 private:
  /// Mean relative error of the held-out texts.
  double Error(const std::vector<float>& states) const;
  void Train(model::TernaryWeights& ternary) const;

  const model::WeightSource& source_;
  const TextRows& rows_;
  const BlockSettings& settings_;
  const StopToken& stop_;
  int layer_ = 0;
  model::ModelWeights weights_;   // of the layer, as a model of one layer
  std::vector<float> originals_;  // [tokens, hidden_size], the original model's stream behind the layer
  std::vector<float> inputs_;     // [tokens, hidden_size], the ternary model's before it
};

/// Bytes that it needs beside QuantiseLayerwise.
std::uint64_t PlanBlockMemory(const model::ModelConfig& config, std::size_t tokens,
                              const BlockSettings& settings);

}  // namespace forge::compress
