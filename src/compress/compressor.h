// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/config_field.h"
#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "compress/divergence.h"
#include "compress/retention.h"
#include "compress/size_report.h"
#include "compress/ternary_training.h"
#include "compress/untrained.h"

namespace forge::compress {

struct CompressConfig {
  int group_size = 0;
  std::string granularity = "group";
  std::string method = "feedback";
  std::string quantiser = "weighted";
  std::string export_type = "auto";
  std::string embedding_type = "q8_0";
  bool compare_quantisers = false;
  std::vector<std::string> also_export;
  int training_steps = 300;
  double learning_rate = 2e-3;
  std::string lambda_schedule = "linear";
  double lambda_fraction = 0.4;
  double training_minutes = 0;
  double distillation_temperature = 1;
  bool int8_activations = false;
  int calibration_samples = 1000;
  std::string tier = "strict";
  double bits_per_weight = 3.5;
  double min_retention = 0;
  double max_ppl_ratio = 0;
  std::uint64_t seed = 1;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("group_size", group_size, InRange{0, 256},
          "Weights that share a scale: 64, 128 or 256; 0: 256 for tq2_0 and tq1_0, else 64.");
    visit("granularity", granularity, OneOf{{"group", "row", "tensor"}},
          "Without training: what shares a scale; row and tensor are there to compare, the file repeats the "
          "scale in every group.");
    visit(
        "method", method, OneOf{{"feedback", "nearest"}},
        "Without training: feedback makes up in later weights of a row for what earlier ones could not "
        "express "
        "(GPTQ), layer by layer, where texts that were held out gain by it; nearest rounds each by itself.");
    visit("quantiser", quantiser, OneOf{{"seed", "absmean", "twn", "seq", "optimum", "weighted"}},
          "Without training: the rule for the scale of a group; weighted is the best for the calibration's "
          "inputs, "
          "the others are there to compare (docs/compression.md).");
    visit(
        "compare_quantisers", compare_quantisers, AnyValue{},
        "Without training: report the output error, on held-out texts, of every rule and group size beside.");
    visit("export_type", export_type, OneOf{{"auto", "q2_0", "tq2_0", "tq1_0"}},
          "Type of the linears in the GGUF file; auto: tq2_0 for groups of 256, else q2_0. tq1_0 takes 18 % "
          "less than "
          "tq2_0.");
    visit("embedding_type", embedding_type, OneOf{{"f16", "q8_0", "q6_k", "q4_0"}},
          "Type of embedding and head; q6_k needs a hidden size that is a multiple of 256.");
    visit("also_export", also_export, AnyValue{},
          "Other forms of the result, beside the file: f16 (its values, for programs without ternary types), "
          "hf-bitnet (a folder that transformers loads; one scale for each linear, so it loses more), packed "
          "(as forge pack writes it: forge maps and runs it at once, with int8 activations).");
    visit("training_steps", training_steps, InRange{0, 1000000},
          "Steps of ternary-aware training; 0: calibration only, no training engine needed.");
    visit("learning_rate", learning_rate, InRange{1e-6, 1}, "Highest learning rate of that training.");
    visit("lambda_schedule", lambda_schedule, OneOf{{"linear", "cosine", "exp", "sigmoid", "step", "none"}},
          "How weights turn ternary on the way; none: from the first step.");
    visit("lambda_fraction", lambda_fraction, InRange{0, 1},
          "Share of the steps over which weights turn ternary.");
    visit("training_minutes", training_minutes, InRange{0, 100000},
          "Train for about so long instead of --training-steps: the first steps say how many fit. 0: by "
          "steps.");
    visit("distillation_temperature", distillation_temperature, InRange{0.1, 100},
          "Softens the distributions of original and ternary model that training compares.");
    visit("int8_activations", int8_activations, AnyValue{},
          "Train with inputs of the linears rounded to 8 bits, one scale a token, as int8 activations of a "
          "runtime are.");
    visit("calibration_samples", calibration_samples, InRange{1, 1000000},
          "Texts whose activations weigh the weights; at most as many as there are.");
    visit(
        "tier", tier, OneOf{{"strict", "mixed", "dual", "auto"}},
        "Without training: strict, every linear in one ternary plane; mixed, ternary where little is lost by "
        "it, "
        "Q4_0 and Q8_0 elsewhere; dual, two planes (only forge reads such files); auto, in this order until "
        "--min-retention and --max-ppl-ratio hold.");
    visit("bits_per_weight", bits_per_weight, InRange{1.5, 16},
          "Most bits a weight of the linears, in tier mixed.");
    visit("min_retention", min_retention, InRange{0, 2},
          "Least share of each domain's score that must be kept; 0: any.");
    visit("max_ppl_ratio", max_ppl_ratio, InRange{0, 1e9},
          "Most that the perplexity of a domain scored by likelihood may grow by, as a factor; 0: any.");
    visit("seed", seed, AnyValue{}, "Same seed, same machine: same bytes.");
  }
};

/// How the linears are stored.
struct StoragePlan {
  int group = 64;
  io::BlockType type = io::BlockType::kQ2_0;
  io::BlockType tables = io::BlockType::kQ8_0;  // embedding and head
};
/// Throws Error(kUsage) for a group size, or a width of the embedding, that its type cannot hold,
/// Error(kInput) listing the linears that do not divide into groups.
StoragePlan PlanStorage(const CompressConfig& config, const model::ModelConfig& model);

struct CompressInput {
  const model::WeightSource* weights = nullptr;  // read in pieces; whole in memory only for training
  io::GgufMetadata tokenizer;                    // text::ToGgufMetadata; may be empty
  std::string model_name = "forge";
  std::vector<std::vector<int>> calibration;  // token sequences; calibration_samples of them are used
  /// Training batches with teacher_weights, pure in (step, micro); not called when training_steps is 0.
  std::function<train::TokenBatch(int step, int micro)> batch;
  int micro_batches = 2;
  /// Scores of a model, higher is better, the same items each time; may be empty.
  Evaluation evaluate;
  std::vector<std::string> domains;  // names of what evaluate returns
  std::vector<double> chance;        // of each, the score of a guesser (CompareScores); may be empty
  std::filesystem::path output;      // the GGUF file; what `also_export` asks for goes beside it
  std::filesystem::path
      tokenizer_files;  // a folder to copy them from, for exports that are folders; or empty
  std::string device = "cpu";
  std::filesystem::path checkpoint;  // of the training; empty: none
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
