// SPDX-License-Identifier: Apache-2.0
#include "compress/compress_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "compress/ternary_training.h"

namespace forge::compress {
namespace {

void CheckExport(const std::string& what, const CompressConfig& config) {
  if (what != "f16" && what != "hf-bitnet" && what != "packed")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot export " + what,
                 .why = "the forms are f16, hf-bitnet and packed",
                 .fix = "give one of these to --also-export"});
  if (what != "packed") return;
  if (config.tier == "mixed" || config.tier == "auto")
    throw Error(
        {.kind = ErrorKind::kUsage,
         .what = "cannot export packed from tier " + config.tier,
         .why = "a packed file holds ternary, 8-bit and 4-bit linears, and that tier has others too",
         .fix = "use --tier strict or dual, or round the file: forge pack MODEL.gguf OUT --linears q8_0"});
  if (config.packed_embeddings == "auto" && config.embedding_type != "q8_0" &&
      config.embedding_type != "q4_0")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot export packed with embeddings of type " + config.embedding_type,
                 .why = "a packed file holds embeddings of 8 or 4 bits",
                 .fix = "add --packed-embeddings q8_0, q8_rotated or q4_0, or use such an --embedding-type"});
  if (config.packed_codes != "two-bit" && config.tier == "dual")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot use --packed-codes " + config.packed_codes + " with --tier dual",
                 .why = "two planes of codes lie in two bits each",
                 .fix = "leave out --packed-codes, or use --tier strict"});
}

/// What embeddings can be stored as, the largest first.
constexpr std::pair<const char*, io::BlockType> kTableTypes[] = {
    {"f16", io::BlockType::kF16},   {"q8_0", io::BlockType::kQ8_0}, {"q6_k", io::BlockType::kQ6_K},
    {"q5_1", io::BlockType::kQ5_1}, {"q5_0", io::BlockType::kQ5_0}, {"q4_1", io::BlockType::kQ4_1},
    {"q4_0", io::BlockType::kQ4_0}};

/// Whether rows of the embedding fill its blocks.
bool Holds(io::BlockType type, const model::ModelConfig& model) {
  return model.hidden_size % static_cast<int>(io::Info(type).elements) == 0;
}

io::BlockType TableType(const std::string& word, const model::ModelConfig& model) {
  std::vector<std::string> others;
  for (const auto& [name, type] : kTableTypes) {
    if (!Holds(type, model)) continue;
    if (name == word) return type;
    others.emplace_back(name);
  }
  throw Error({.kind = ErrorKind::kUsage,
               .what = "embeddings of this model cannot be stored as " + word,
               .why = fmt::format("their {} columns do not fill blocks of {}", model.hidden_size,
                                  word == "q6_k" ? 256 : 32),
               .fix = fmt::format("use --embedding-type {}", fmt::join(others, " or "))});
}

}  // namespace

void CheckFlagsFit(const CompressConfig& config) {
  for (const std::string& what : config.also_export) CheckExport(what, config);
  if (config.training_steps == 0 && config.training_minutes > 0)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot train for minutes with --training-steps 0",
                 .why = "0 steps mean that there is no training",
                 .fix = "leave out --training-steps, or --training-minutes"});
  const CompressConfig usual;
  std::vector<std::string> unfit;
  const auto note = [&](bool differs, const char* flag) {
    if (differs) unfit.emplace_back(flag);
  };
  const auto refuse_noted = [&](const std::string& with, const char* why, const char* fix) {
    if (unfit.empty()) return;
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot use {} {}", fmt::join(unfit, ", "), with),
                 .why = why,
                 .fix = fix});
  };
  if (std::count(config.also_export.begin(), config.also_export.end(), "packed") == 0) {
    note(config.packed_codes != usual.packed_codes, "--packed-codes");
    note(config.packed_embeddings != usual.packed_embeddings, "--packed-embeddings");
    refuse_noted("without --also-export packed", "no packed file is written", "add --also-export packed");
  }
  note(config.relation_share == 0 && config.relation_layer != usual.relation_layer, "--relation-layer");
  refuse_noted("without --relation-share", "with a share of 0 no relations are learned",
               "give a --relation-share above 0");
  if (config.teacher_top_k > 0) {
    note(config.training_minutes > 0, "--training-minutes");
    note(config.distillation_temperature != 1, "--distillation-temperature");
    note(config.relation_share > 0, "--relation-share");
    refuse_noted("with --teacher-top-k",
                 "the original model is asked before the training, about its likeliest tokens only",
                 "leave out --teacher-top-k, or these");
  }
  note(config.block_steps == 0 && config.block_learning_rate != usual.block_learning_rate,
       "--block-learning-rate");
  refuse_noted("without --block-steps", "with 0 steps there is no block reconstruction",
               "give --block-steps");
  note(config.block_steps > 0 && config.training_steps > 0 && config.training_start == "weights",
       "--block-steps");
  refuse_noted("with training from the weights", "block reconstruction comes after feedback",
               "add --training-start feedback, or --training-steps 0");
  if (config.training_steps > 0) {
    note(config.tier != usual.tier, "--tier");
    note(config.quantiser != usual.quantiser, "--quantiser");
    note(config.method != usual.method, "--method");
    note(config.granularity != usual.granularity, "--granularity");
    note(config.compare_quantisers, "--compare-quantisers");
    note(config.bits_per_weight != usual.bits_per_weight, "--bits-per-weight");
    note(config.max_file_mb != usual.max_file_mb, "--max-file-mb");
    note(config.embedding_type == "auto", "--embedding-type auto");
    return refuse_noted("with training",
                        "training makes one ternary plane of each linear, with a scale for each group",
                        "add --training-steps 0, or leave them out");
  }
  // Presets set a learning rate and lambda, whether or not training is left out.
  note(config.training_start != usual.training_start, "--training-start");
  note(config.distillation_temperature != usual.distillation_temperature, "--distillation-temperature");
  note(config.int8_activations, "--int8-activations");
  note(config.teacher_top_k != usual.teacher_top_k, "--teacher-top-k");
  note(config.relation_share != usual.relation_share, "--relation-share");
  note(config.relation_layer != usual.relation_layer, "--relation-layer");
  note(config.precision != usual.precision && config.block_steps == 0, "--precision");
  note(config.max_memory_gb != usual.max_memory_gb, "--max-memory-gb");
  refuse_noted("without training", "--training-steps is 0", "leave out --training-steps 0, or these");
  note(config.bits_per_weight != usual.bits_per_weight && config.tier != "mixed" && config.tier != "auto",
       "--bits-per-weight");
  note(config.max_file_mb != usual.max_file_mb && config.tier != "mixed", "--max-file-mb");
  note(config.embedding_type == "auto" && config.tier != "mixed", "--embedding-type auto");
  note(config.granularity != usual.granularity && config.tier != "strict", "--granularity");
  note(config.block_steps > 0 && config.tier != "strict", "--block-steps");
  refuse_noted("with --tier " + config.tier,
               "--bits-per-weight is for mixed and auto, --max-file-mb and --embedding-type auto for mixed, "
               "--granularity and --block-steps for strict",
               "choose another tier, or leave them out");
  note(config.block_steps > 0 && config.granularity != usual.granularity, "--granularity");
  refuse_noted("with --block-steps", "block reconstruction gives each group a scale of its own",
               "leave out --granularity");
  note(config.embedding_type == "auto" && config.max_file_mb == 0, "--embedding-type auto");
  refuse_noted("without --max-file-mb", "there are no bytes that embedding and linears could share",
               "add --max-file-mb, or choose the type");
}

StoragePlan PlanStorage(const CompressConfig& config, const model::ModelConfig& model) {
  StoragePlan plan;
  const bool wants_large = config.export_type == "tq2_0" || config.export_type == "tq1_0";
  plan.group = config.group_size != 0 ? config.group_size : wants_large ? 256 : 64;
  const bool is_large = wants_large || (config.export_type == "auto" && plan.group == 256);
  plan.type = config.export_type == "tq1_0" ? io::BlockType::kTQ1_0
              : is_large                    ? io::BlockType::kTQ2_0
                                            : io::BlockType::kQ2_0;
  const int block = static_cast<int>(io::Info(plan.type).elements);
  if (plan.group % block != 0)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("groups of {} weights cannot be stored as {}", plan.group,
                                     io::Info(plan.type).name),
                 .why = fmt::format("a block of it has {} weights with one scale", block),
                 .fix = is_large ? "use --group-size 256, or --export-type q2_0"
                                 : "use --group-size 64, 128 or 256"});
  CheckGroups(model, plan.group);
  if (config.packed_codes != "two-bit" && block < 128)
    throw Error(
        {.kind = ErrorKind::kUsage,
         .what = fmt::format("cannot use --packed-codes {} with linears stored as {}", config.packed_codes,
                             io::Info(plan.type).name),
         .why = fmt::format("in its blocks of {} weights such codes take no less than two bits", block),
         .fix = "leave out --packed-codes, or use --group-size 256"});
  if (config.embedding_type != "auto") {
    plan.tables = TableType(config.embedding_type, model);
    return plan;
  }
  plan.tables = TableType("q8_0", model);
  for (const auto& [name, type] : kTableTypes)
    if (Holds(type, model)) plan.tables_to_choose_from.insert(plan.tables_to_choose_from.begin(), type);
  return plan;
}

}  // namespace forge::compress
