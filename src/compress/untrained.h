// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "compress/layerwise.h"
#include "compress/mixed_choice.h"
#include "compress/ternary_training.h"

namespace forge::compress {

/// How the linears are stored.
///   strict  one ternary plane each: 1.7 to 2.25 bits a weight
///   mixed   ternary where little is lost by it, elsewhere one of the block types of more levels: Q2_0 with
///   all
///           its four, Q2_K, Q3_K, Q4_K, Q5_K (rows that are multiples of 256), Q4_0, Q5_0, Q8_0; within a
///           number of bits a weight
///   dual    two ternary planes each: twice the bits of strict
enum class Tier { kStrict, kMixed, kDual };
const char* Name(Tier tier);

struct UntrainedOptions {
  Tier tier = Tier::kStrict;
  int group = 64;                  // of the ternary planes, as they are stored
  std::int64_t fitted_group = 64;  // whose weights share a scale: a multiple of it, kWholeRow, kWholeTensor
  io::BlockType type = io::BlockType::kQ2_0;    // that they are stored in
  io::BlockType tables = io::BlockType::kQ8_0;  // that embedding and head are stored in
  /// In tier mixed: types, the smallest first, that theirs is chosen from, when it is known how much the
  /// linears need; `tables` holds until then. Empty: it is `tables`.
  std::vector<io::BlockType> tables_to_choose_from = {};
  MixedBudget budget = {.bits_per_weight = 3.5};  // of tier mixed
  const Quantiser* quantiser = nullptr;           // of one plane
  bool with_feedback = true;
  BlockSettings blocks = {};  // in tier strict
  bool compares = false;      // report the error of every quantiser of the table beside
  /// Folder that linears are kept in as they are done (KeptLinears), so that the same call goes on behind
  /// them; empty: none. Who calls removes it in the end.
  std::filesystem::path kept = {};
};

struct UntrainedResult {
  CompressedModel model;
  std::vector<LinearReport> linears;
  std::vector<std::string> stored_as;  // by linear, like `linears`: "ternary", "2 planes", "Q4_0", ...
  /// With `compares`: mean relative output error over the linears of nearest rounding by each quantiser,
  /// "weighted, 64": in groups of a row, 256, 128 and 64 (those with `blocks`: their own), as far as they
  /// divide the rows of all linears.
  std::map<std::string, double> compared;
};

/// Throws Error(kUsage) in tier mixed if the budget is below the smallest that it can make (CheckBudget).
void CheckBudget(const model::ModelConfig& config, const UntrainedOptions& options);

/// Compresses without training (layerwise.h). In tier mixed the model is first made strict; the divergence
/// that each unit (sensitivity.h) alone then costs is measured, that of the other types is taken to be in
/// proportion to the output errors of nearest rounding, that of the types of tables is measured too, the
/// types are chosen within the budget (mixed_choice.h), and the model is made anew with them. Twice the time
/// of strict, plus the sensitivities. Throws as CheckBudget, and Error(kInput) if rows do not divide into
/// groups.
UntrainedResult CompressUntrained(const model::WeightSource& source, std::span<const std::vector<int>> texts,
                                  std::span<const std::vector<int>> held_out, const UntrainedOptions& options,
                                  MetricSink& sink, const StopToken& stop);

}  // namespace forge::compress
