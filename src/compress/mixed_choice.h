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

/// Embedding or head, and the types that it could have: what each costs is the divergence in nats when it
/// alone is stored so (MeasureTableSensitivity). With one type that does not matter.
struct TableChoice {
  std::string name;
  std::vector<io::BlockType> types;  // the smallest first
  std::vector<double> divergences;
};

/// How large the result may be.
struct MixedBudget {
  double bits_per_weight = 16;    // of all linears
  std::uint64_t file_bytes = 0;   // of the whole GGUF file; 0: any number
  std::uint64_t other_bytes = 0;  // what is in that file beside linears and tables (BytesBesideMatrices)
};

struct MixedTypes {
  StorageOf linears;
  std::map<std::string, io::BlockType> tables;
};

/// Throws Error(kUsage) if not even the smallest choice of every linear and table is within the budget; of a
/// file it names the smallest size.
///   storages  MixedStorages
///   tables    types that each table could have
void CheckBudget(const model::ModelConfig& config, std::span<const LinearStorage> storages,
                 std::span<const io::BlockType> tables, const MixedBudget& budget);

/// The types of tier mixed within the budget. Tables are few and large, so every combination of their types
/// is tried, each with the linears' best (ChooseStorage) in the bytes that it leaves; the least sum of
/// divergences is taken, the smaller tables if it is the same. What a unit of FusedLinears loses in a storage
/// is taken to be its sensitivity times the share that the storage has in the output error of the first one,
/// both by nearest rounding, the mean over its linears.
///   storages       MixedStorages
///   reports        of all linears in the first storage, `compared` beginning with the others that have a
///                  quantiser
///   sensitivities  MeasureSensitivity of the first storage
///   tables         all of the model
/// Says what was chosen. `budget` has passed CheckBudget.
MixedTypes ChooseTypes(const model::ModelConfig& config, std::span<const LinearStorage> storages,
                       std::span<const LinearReport> reports, std::span<const double> sensitivities,
                       std::span<const TableChoice> tables, const MixedBudget& budget, MetricSink& sink);

}  // namespace forge::compress
