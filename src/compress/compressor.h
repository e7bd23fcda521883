// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "compress/compress_config.h"
#include "compress/divergence.h"
#include "compress/retention.h"
#include "compress/size_report.h"
#include "compress/ternary_training.h"
#include "compress/untrained.h"

namespace forge::compress {

struct CompressInput {
  const model::WeightSource* weights = nullptr;  // read in pieces; whole in memory only for training
  io::GgufMetadata tokenizer;                    // text::ToGgufMetadata; may be empty
  std::string model_name = "forge";
  std::vector<std::vector<int>> calibration;  // token sequences; calibration_samples of them are used
  TrainingBatches batch;                      // not called when training_steps is 0
  /// Scores of a model, higher is better, the same items each time; may be empty.
  Evaluation evaluate;
  std::vector<std::string> domains;  // names of what evaluate returns
  std::vector<double> chance;        // of each, the score of a guesser (CompareScores); may be empty
  std::filesystem::path output;      // the GGUF file; what `also_export` asks for goes beside it
  std::filesystem::path
      tokenizer_files;  // a folder to copy them from, for exports that are folders; or empty
  std::string device = "cpu";
  std::filesystem::path checkpoint;      // of the training; empty: none
  std::filesystem::path teacher_folder;  // for the teacher's answers (teacher_top_k); left there
  /// Folder for the linears that are done, without training; empty: none. A call that was stopped and is made
  /// again goes on behind them. Left there.
  std::filesystem::path kept_linears;
};

struct BaselineResult {
  Baseline baseline;
  std::optional<Retention> retention;
};

/// A form of the compressed model beside the file.
struct ExportResult {
  std::string name;  // "F16 GGUF", "bitnet folder", "packed file"
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::optional<Retention> retention;  // of what was loaded from it
};

struct CompressResult {
  Tier tier = Tier::kStrict;               // the last one tried
  std::vector<LinearReport> linears;       // without training
  std::vector<std::string> stored_as;      // UntrainedResult::stored_as
  std::map<std::string, double> compared;  // UntrainedResult::compared
  StoragePlan storage;
  std::filesystem::path file;
  FileSize size;
  std::uint64_t float16_bytes = 0;     // of the input as float16 safetensors
  double ratio = 0;                    // float16_bytes / size.total
  std::optional<Retention> retention;  // with an evaluation
  Divergence divergence;               // from the input, on calibration texts that were held out
  double distinct_triples = 1, distinct_triples_before = 1;  // DistinctTriples of the same texts
  std::vector<BaselineResult> baselines;                     // Q8_0, Q4_0 and Q4_K of the input
  std::vector<ExportResult> exports;
  bool passed = true;  // min_retention and max_ppl_ratio hold in every domain
};

/// Compresses a model: moments of the inputs, ternary-aware training from the uncompressed model as the
/// teacher (or none), export, then the file is loaded again and that is what is evaluated and measured. A
/// model that fails min_retention is written all the same; `passed` says so. Metrics: compress/loss, /ratio,
/// /bits_per_weight, /retention, /retention/<domain>. Throws Error(kUsage or kInput) before any work for
/// settings that do not fit, Error(kInterrupted) when `stop` asks (the training keeps its checkpoint).
CompressResult Compress(const CompressInput& input, const CompressConfig& config, MetricSink& sink,
                        const StopToken& stop);

}  // namespace forge::compress
