// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "compress/block_reconstruction.h"
#include "compress/quantised_linear.h"
#include "model/weight_source.h"

namespace forge::compress {

inline constexpr std::int64_t kWholeRow = -1, kWholeTensor = 0;  // as the group of a choice

/// How each linear is quantised.
struct LayerwiseOptions {
  /// Of a linear, by name: how it is to be stored. Called once for each.
  struct Choice {
    const Quantiser* quantiser = nullptr;  // null: the linear stays as it is
    std::int64_t group = 64;               // or kWholeRow, kWholeTensor
  };
  std::function<Choice(const model::TensorSpec&)> choose;
  bool with_feedback = true;         // else every weight to its nearest level
  double damping = 0.01;             // FactorGram
  int polish_rounds = 2;             // PolishCodes; 0: none
  std::vector<Choice> compare = {};  // whose errors by nearest rounding are reported too
  /// With steps: the linears of each layer are trained together when all seven are quantised, and only then
  /// handed to `done`. All must be one ternary plane, in groups of their own.
  BlockSettings blocks = {};
  /// [out, in] of a linear that was done before: it is taken as it is, and `done` not called. Asked for each
  /// linear that is to be quantised, in order. Empty: none is known. With `blocks`: of a layer all or none.
  std::function<std::optional<std::vector<float>>(const model::TensorSpec&)> known = {};
};

/// What was done with one linear. Errors are of outputs on texts that were not used to fit, relative to the
/// power of the outputs: E|(W - Q) x|^2 / E|W x|^2.
struct LinearReport {
  std::string name;
  std::string quantiser;
  double nearest_error = 0;  // every weight to its nearest level
  double error = 0;          // of what was kept, before its layer was trained
  bool kept_feedback = false;
  std::vector<double> compared = {};  // of LayerwiseOptions::compare; not a number where rows fill no block
  std::optional<BlockReport> block = {};  // of its layer, with LayerwiseOptions::blocks
};

/// Called with each linear as soon as it is done; its values are what later linears see.
using LinearDone = std::function<void(const model::TensorSpec&, const QuantisedLinear&, const LinearReport&)>;

/// Quantises a model's linears from the first layer to the last, inside a layer q, k, v, then o, then gate
/// and up, then down. Inputs are those of the model whose earlier linears are quantised already, so that
/// later ones can make good for them; the outputs aimed at are those of the original weights on these inputs.
/// With feedback, a linear keeps it only if its output error on the held-out texts is below that of nearest
/// rounding.
///   texts     token sequences, each of 1 to max_position_embeddings tokens
///   held_out  others of the kind, never used to fit
///   tables    embedding [vocab_size, hidden_size] as it will be stored
/// Memory: PlanLayerwiseMemory. Cost: one forward pass over all texts, and for each linear its Gram matrix
/// (tokens * in^2 / 2), factor (in^3 / 3) and feedback (out * in^2 / 2), polish (about out * in^2). Throws
/// Error(kInput) without texts of both kinds, Error(kInterrupted) when `stop` asks.
void QuantiseLayerwise(const model::WeightSource& source, const model::Tensor& embedding,
                       std::span<const std::vector<int>> texts, std::span<const std::vector<int>> held_out,
                       const LayerwiseOptions& options, const LinearDone& done, MetricSink& sink,
                       const StopToken& stop);

/// Bytes that QuantiseLayerwise needs at its peak, beside what the caller holds.
std::uint64_t PlanLayerwiseMemory(const model::ModelConfig& config, std::size_t tokens);

}  // namespace forge::compress
