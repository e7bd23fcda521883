// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/gguf_blocks.h"
#include "model/model_config.h"
#include "model/model_weights.h"

namespace forge::model {

/// A matrix as it is stored, in Hugging Face's row order.
struct StoredRows {
  io::BlockType type;
  /// The bytes of one row, where they lie. Throws Error(kInput) as WeightSource::ReadRows does. May be called
  /// from several threads.
  std::function<std::span<const std::byte>(std::int64_t row)> row;
  /// Copies whole rows from first_row on, for who needs them once; nothing where `row` is the only way.
  /// Throws as `row` does.
  std::function<void(std::int64_t first_row, std::span<std::byte> out)> copy = {};
};

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

  /// The tensor as it is stored, for who can use that without widening it; nothing where its values are
  /// computed (adapters) or stored in a form that has no block type.
  virtual std::optional<StoredRows> FindStoredRows(const TensorSpec&) const { return {}; }
  /// Gives back the memory that the bytes of FindStoredRows took; they can be read again.
  virtual void Release(const TensorSpec&) const {}

  /// How many elements share a scale in a linear that is stored as ternary codes; 0 for other storage.
  virtual int TernaryGroup(const TensorSpec&) const { return 0; }
  /// Codes and scales of such a linear; its values are those of Read to the bit. Throws Error(kInput) for a
  /// group that is not ternary (Q2_0 and TQ2_0 can also hold 2 scales).
  TernaryTensor ReadTernary(const TensorSpec& spec) const;

  /// The same of a linear that is stored as the sum of two ternary tensors of one group (its TernaryGroup is
  /// 0).
  virtual int TwoPlaneGroup(const TensorSpec&) const { return 0; }
  /// One of the two, plane 0 or 1. Throws as ReadTernary does.
  TernaryTensor ReadTernaryPlane(const TensorSpec& spec, int plane) const;

  /// The tensor's blocks as a GGUF file of this architecture has them, if they are stored so; else nothing.
  virtual std::span<const std::byte> GgufBytes(const TensorSpec&) const { return {}; }

 protected:
  /// `bytes`, of whole rows from first_row on, if their values are finite; throws as ReadRows otherwise.
  std::span<const std::byte> CheckedRows(const TensorSpec& spec, std::int64_t first_row, io::BlockType type,
                                         std::span<const std::byte> bytes) const;

 private:
  void CheckFinite(const TensorSpec& spec, std::int64_t first_row, std::span<const float> values) const;
  virtual void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const = 0;
  /// The values of one plane; only asked for where TwoPlaneGroup is not 0.
  virtual void ReadPlaneRows(const TensorSpec& spec, int plane, std::int64_t first_row,
                             std::span<float> out) const;
  TernaryTensor ToTernary(const TensorSpec& spec, const Tensor& tensor, int group) const;

  ModelConfig config_;
};

/// Rows and columns of a tensor; a vector is one row.
std::int64_t Rows(const TensorSpec& spec);
std::size_t Columns(const TensorSpec& spec);

/// Calls `visit` with the tensor piece by piece: pieces of a few MiB, each a multiple of `step` rows where
/// the tensor has them.
void VisitRows(const WeightSource& weights, const TensorSpec& spec, std::int64_t step,
               const std::function<void(std::span<const float>)>& visit);

/// Weights in memory, which must outlive it; those of `ternary` are not in `weights`. FindStoredRows does not
/// look whether they are finite. Throws Error(kInput) if the tensors are not those of the config.
std::unique_ptr<WeightSource> WeightsInMemory(const ModelConfig& config, const ModelWeights& weights,
                                              const TernaryWeights* ternary = nullptr);

}  // namespace forge::model
