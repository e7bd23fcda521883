// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config_field.h"
#include "io/gguf_blocks.h"
#include "model/model_config.h"
#include "runtime/pack_words.h"

namespace forge::compress {

struct CompressConfig {
  int group_size = 0;
  std::string granularity = "group";
  std::string method = "feedback";
  std::string quantiser = "weighted";
  std::string rotation = "none";
  int block_steps = 0;
  double block_learning_rate = 0.02;
  std::string export_type = "auto";
  std::string embedding_type = "q8_0";
  bool compare_quantisers = false;
  std::vector<std::string> also_export;
  std::string packed_codes = "two-bit";
  std::string packed_embeddings = "auto";
  int training_steps = 300;
  std::string training_start = "weights";
  double learning_rate = 2e-3;
  std::string lambda_schedule = "linear";
  double lambda_fraction = 0.4;
  double training_minutes = 0;
  double distillation_temperature = 1;
  bool int8_activations = false;
  int teacher_top_k = 0;
  double relation_share = 0;
  int relation_layer = -1;
  std::string precision = "f32";
  double max_memory_gb = 0;
  int calibration_samples = 1000;
  std::string tier = "strict";
  double bits_per_weight = 0;
  double max_file_mb = 0;
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
    visit("rotation", rotation, OneOf{{"none", "heads", "full"}},
          "Hadamard rotations folded into the weights first, which spread outliers: heads, of the values of "
          "each head; full, of the residual stream too (a tied head is then stored by itself).");
    visit(
        "block_steps", block_steps, InRange{0, 1000000},
        "Block reconstruction: steps in which the linears of each layer, once ternary, are trained together "
        "so that the layer gives what it gave in the original model; 0: not. In tier strict, and where "
        "training starts from feedback.");
    visit("block_learning_rate", block_learning_rate, InRange{1e-7, 1.0},
          "Of block reconstruction, for weights in units of their group's scale.");
    visit(
        "compare_quantisers", compare_quantisers, AnyValue{},
        "Without training: report the output error, on held-out texts, of every rule and group size beside.");
    visit("export_type", export_type, OneOf{{"auto", "q2_0", "tq2_0", "tq1_0"}},
          "Type of the linears in the GGUF file; auto: tq2_0 for groups of 256, else q2_0. tq1_0 takes 18 % "
          "less than "
          "tq2_0.");
    visit(
        "embedding_type", embedding_type,
        OneOf{{"f16", "q8_0", "q6_k", "q5_1", "q5_0", "q4_1", "q4_0", "auto"}},
        "Type of embedding and head; q6_k needs a hidden size that is a multiple of 256; auto, in tier mixed "
        "with --max-file-mb: whichever is worth its bytes.");
    visit("also_export", also_export, AnyValue{},
          "Other forms of the result, beside the file: f16 (its values, for programs without ternary types), "
          "hf-bitnet (a folder that transformers loads; one scale for each linear, so it loses more), packed "
          "(as forge pack writes it: forge maps and runs it at once, with int8 activations).");
    visit("packed_codes", packed_codes, OneOf{runtime::CodeWords()},
          "How ternary codes lie in the packed file (forge pack --codes): base-3 and base-27 need "
          "--group-size 256.");
    visit("packed_embeddings", packed_embeddings, OneOf{runtime::EmbeddingWords()},
          "Embedding and head of the packed file (forge pack --embeddings), whatever --embedding-type says; "
          "auto: as that says.");
    visit("training_steps", training_steps, InRange{0, 1000000},
          "Steps of ternary-aware training; 0: calibration only, no training engine needed.");
    visit("training_start", training_start, OneOf{{"weights", "feedback"}},
          "Where training starts: weights, the model's own, rounded more and more on the way; feedback, the "
          "ternary model that is made without training (strict), which takes fewer steps to be good.");
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
    visit(
        "teacher_top_k", teacher_top_k, InRange{0, 1000},
        "Ask the original model once about all texts of the training, keep its so many likeliest tokens on "
        "disk and learn from these (64 is plenty): less memory, and faster where texts come back. 0: it runs "
        "beside.");
    visit("relation_share", relation_share, InRange{0, 100},
          "Training also learns how tokens relate in the attention of one layer (MiniLMv2, BitDistill), with "
          "so much of the gradient's norm there that the divergence has; 0: not.");
    visit("relation_layer", relation_layer, InRange{-1, 100000},
          "The layer of --relation-share, from 0; -1: three quarters of the way up.");
    visit("precision", precision, OneOf{{"auto", "f32", "bf16"}},
          "Of the matrix products of training; auto: bf16 where the processor has it.");
    visit("max_memory_gb", max_memory_gb, InRange{0, 100000},
          "Memory that training may take, in 10^9 bytes: it then works in smaller parts. 0: no limit.");
    visit("calibration_samples", calibration_samples, InRange{1, 1000000},
          "Texts whose activations weigh the weights; at most as many as there are.");
    visit(
        "tier", tier, OneOf{{"strict", "mixed", "dual", "auto"}},
        "Without training: strict, every linear in one ternary plane; mixed, ternary where little is lost by "
        "it, "
        "Q4_0 and Q8_0 elsewhere; dual, two planes (only forge reads such files); auto, in this order until "
        "--min-retention and --max-ppl-ratio hold.");
    visit("bits_per_weight", bits_per_weight, InRange{0, 16},
          "Most bits a weight of the linears, in tier mixed; 0: 3.5, or with --max-file-mb any.");
    visit("max_file_mb", max_file_mb, InRange{0, 1e6},
          "Most megabytes (10^6 bytes) of the whole GGUF file, in tier mixed; 0: any.");
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
  io::BlockType tables = io::BlockType::kQ8_0;  // embedding and head; if they are chosen, until then
  std::vector<io::BlockType> tables_to_choose_from = {};  // with --embedding-type auto, the smallest first
};
/// Throws Error(kUsage) for a group size, or a width of the embedding, that its type cannot hold, and for
/// codes of the packed file that would be no smaller in its blocks,
/// Error(kInput) listing the linears that do not divide into groups.
StoragePlan PlanStorage(const CompressConfig& config, const model::ModelConfig& model);

/// Whether compressing so needs the training engine.
inline bool NeedsEngine(const CompressConfig& config) {
  return config.training_steps > 0 || config.block_steps > 0;
}

/// Throws Error(kUsage) for settings that contradict each other or would have no effect.
void CheckFlagsFit(const CompressConfig& config);

}  // namespace forge::compress
