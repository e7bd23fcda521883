// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "model/model_weights.h"

namespace forge::model {

/// The weights of a model wherever they are (a folder, a GGUF file, in memory, an adapter over another
/// source), read in pieces, so that what is done tensor by tensor needs memory for a piece only.
class WeightSource {
 public:
  explicit WeightSource(ModelConfig config) : config_(std::move(config)) {}
  virtual ~WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;

  const ModelConfig& config() const { return config_; }
  /// What errors name it by: the path.
  virtual std::string Name() const = 0;
  /// How the values of a tensor are stored: "BF16", "Q4_K"; "F32" in memory.
  virtual std::string StoredType(const TensorSpec& spec) const = 0;

  /// The rows [first_row, first_row + out.size() / Columns(spec)) as float32, in Hugging Face's order.
  ///   spec  one of ListTensors(config())
  ///   out   [rows, columns], whole rows
  /// Throws Error(kInput) for a value that is not finite, naming the tensor and the element. May be called
  /// from several threads.
  void ReadRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const;
  /// The whole tensor.
  Tensor Read(const TensorSpec& spec) const;
  /// All of them.
  ModelWeights ReadAll() const;

  /// The tensor's blocks as a GGUF file of this architecture has them, if they are stored so; else nothing.
  virtual std::span<const std::byte> GgufBytes(const TensorSpec&) const { return {}; }

 private:
  virtual void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const = 0;

  ModelConfig config_;
};

/// Rows and columns of a tensor; a vector is one row.
std::int64_t Rows(const TensorSpec& spec);
std::size_t Columns(const TensorSpec& spec);

/// Calls `visit` with the tensor piece by piece: pieces of a few MiB, each a multiple of `step` rows where
/// the tensor has them.
void VisitRows(const WeightSource& weights, const TensorSpec& spec, std::int64_t step,
               const std::function<void(std::span<const float>)>& visit);

/// Weights in memory, which must outlive it.
std::unique_ptr<WeightSource> WeightsInMemory(const ModelConfig& config, const ModelWeights& weights);

}  // namespace forge::model
