// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "io/json_file.h"
#include "io/safetensors_writer.h"
#include "merge/exact/tensor_merge.h"
#include "merge/merge_plan.h"
#include "merge/mergekit_numerics.h"
#include "pipeline/merge_models.h"
#include "pipeline/tensor_reader.h"

namespace forge::pipeline {

struct ModelMergeSettings {
  std::string recipe;              // the config's text, for the report and the model card
  bool mergekit_numerics = false;  // mergekit's arithmetic, op by op; else float32 with one rounding
  std::filesystem::path masks;  // choices that mergekit made (merge/stored_choices.h); with its numerics only
  std::uint64_t seed = 42;      // of the methods that drop changes at random
  std::uint64_t max_shard_bytes = io::kDefaultShardBytes;
  bool replace = false;
  bool hash = true;        // sha256 of models and result, for the report
  bool smoke_test = true;  // run the result on a text and four prompts, where it has a tokenizer
};

/// One merge of a mergekit config: opened and planned by the constructor, which throws what planning the
/// weights, the vocabulary and the chat template throws, then shown or written. Reads weights only in Write
/// and in Preview's trial.
class ModelMerge {
 public:
  ModelMerge(merge::MergeConfig config, ModelMergeSettings settings, const ResolveName& resolve);
  ~ModelMerge();

  const merge::MergePlan& plan() const { return plan_; }
  /// What a merge would do: models, method, tensors and bytes, memory, notes, what the vocabulary becomes;
  /// and how long it takes, from a trial on one of its tensors, without what the disk adds.
  io::Json Preview();

  /// Writes the folder, complete or not at all: weights, config.json, the tokenizer's files, README.md (a
  /// model card with the recipe) and merge_report.json, which is also returned. Values that are not finite
  /// are an Error(kInput) naming the tensor.
  io::Json Write(const std::filesystem::path& out, MetricSink& sink, const StopToken& stop);

 private:
  class Writing;
  io::Json Describe() const;
  /// Where the result or the config's model cannot run, a note says why.
  void AddSmokeTest(const std::filesystem::path& merged, MetricSink& sink, io::Json& report) const;
  void MergeOne(const merge::TensorTask& task, TensorReader& reader, const merge::PieceWriter& write) const;
  std::uint64_t MemoryOf(const merge::TensorTask& task) const;

  merge::MergeConfig config_;
  ModelMergeSettings settings_;
  MergeModels models_;
  merge::MergePlan plan_;
  merge::StoredChoices choices_;
};

}  // namespace forge::pipeline
