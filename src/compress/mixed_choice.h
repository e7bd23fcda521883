// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "compress/layerwise.h"
#include "io/gguf_blocks.h"
#include "model/model_config.h"

namespace forge::compress {

/// A way to store a linear.
struct LinearStorage {
  std::string name;            // "ternary", "2 planes", "Q4_0", ...
  const Quantiser* quantiser;  // null: rounded to nearest
  std::int64_t group;          // whose weights share a scale
  io::BlockType type;

  /// Whether rows of the tensor fill its blocks or groups.
  bool Holds(const model::TensorSpec& spec) const;
  LayerwiseOptions::Choice choice() const { return {quantiser, group}; }
};

/// What tier mixed chooses from: `ternary`, then the block types of more levels, the smallest first.
std::vector<LinearStorage> MixedStorages(LinearStorage ternary);

/// Of linears, by name: an index into the storages that are chosen from.
using StorageOf = std::map<std::string, std::size_t>;

/// The types of tier mixed within `bits_per_weight` of all linears (ChooseStorage). What a unit of
/// FusedLinears loses in a storage is taken to be its sensitivity times the share that the storage has in the
/// output error of the first one, both by nearest rounding, the mean over its linears.
///   storages       MixedStorages
///   reports        of all linears in the first storage, `compared` beginning with the others that have a
///                  quantiser
///   sensitivities  MeasureSensitivity of the first storage
/// Says what was chosen. Throws Error(kUsage) if not even the smallest fit.
StorageOf ChooseLinearStorages(const model::ModelConfig& config, std::span<const LinearStorage> storages,
                               std::span<const LinearReport> reports, std::span<const double> sensitivities,
                               double bits_per_weight, MetricSink& sink);

}  // namespace forge::compress
