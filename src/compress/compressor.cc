// SPDX-License-Identifier: Apache-2.0
#include "compress/compressor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "compress/export.h"
#include "compress/rotation.h"
#include "compress/secondary_export.h"
#include "compress/untrained.h"
#include "io/atomic_file.h"
#include "io/section_file.h"
#include "model/gguf_model.h"
#include "runtime/pack_words.h"
#include "runtime/packed_file.h"

namespace forge::compress {
namespace {

/// Inputs used less than this share of the mean get as much weight: a tenth of a percent of the error budget.
constexpr double kLeastMoment = 1e-3;
constexpr std::size_t kDivergenceTexts = 16;
constexpr int kContinuation = 32;  // tokens

double BitLimit(const CompressConfig& config) {
  constexpr double kUsual = 3.5, kAny = 16;
  return config.bits_per_weight > 0 ? config.bits_per_weight : config.max_file_mb > 0 ? kAny : kUsual;
}

std::uint64_t FileLimit(const CompressConfig& config) {
  return static_cast<std::uint64_t>(std::llround(config.max_file_mb * 1e6));
}

SecondMoments Calibrate(const CompressInput& input, std::span<const std::vector<int>> texts, MetricSink& sink,
                        const StopToken& stop) {
  runtime::NativeModel model(runtime::PackWeights(*input.weights, {}));
  SecondMoments moments = CollectSecondMoments(model, texts, &stop);
  RaiseSmallMoments(moments, kLeastMoment);
  sink.Log(fmt::format("compress: calibrated on {} texts", texts.size()));
  return moments;
}

UntrainedOptions OptionsOf(const CompressInput& input, const CompressConfig& config, Tier tier,
                           const StoragePlan& storage) {
  UntrainedOptions options{.tier = tier, .group = storage.group};
  options.fitted_group = config.granularity == "row"      ? kWholeRow
                         : config.granularity == "tensor" ? kWholeTensor
                                                          : storage.group;
  options.type = storage.type;
  options.tables = storage.tables;
  options.tables_to_choose_from = storage.tables_to_choose_from;
  options.budget = {
      .bits_per_weight = BitLimit(config),
      .file_bytes = FileLimit(config),
      .other_bytes = BytesBesideMatrices(input.weights->config(), input.tokenizer, input.model_name)};
  options.quantiser = &FindQuantiser(config.quantiser);
  options.with_feedback = config.method == "feedback";
  options.compares = config.compare_quantisers;
  options.blocks.steps = config.block_steps;
  options.blocks.learning_rate = config.block_learning_rate;
  options.blocks.precision = train::ChoosePrecision(config.precision, input.device);
  options.blocks.device = input.device;
  options.blocks.seed = config.seed;
  options.kept = input.kept_linears;
  return options;
}

UntrainedResult MakeUntrained(const CompressInput& input, const CompressConfig& config, Tier tier,
                              const StoragePlan& storage, const CalibrationTexts& texts, MetricSink& sink,
                              const StopToken& stop) {
  std::size_t tokens = 0;
  for (const auto* part : {&texts.fitted, &texts.held_out})
    for (const std::vector<int>& text : *part) tokens += text.size();
  const UntrainedOptions options = OptionsOf(input, config, tier, storage);
  std::uint64_t memory = PlanLayerwiseMemory(input.weights->config(), tokens);
  if (config.block_steps > 0) memory += PlanBlockMemory(input.weights->config(), tokens, options.blocks);
  sink.Log(fmt::format(
      "compress: {}, {} texts to fit, {} held out, {} tokens; memory: about {:.2f} GiB beside the model",
      Name(tier), texts.fitted.size(), texts.held_out.size(), tokens,
      static_cast<double>(memory) / 1073741824.0));
  return CompressUntrained(*input.weights, texts.fitted, texts.held_out, options, sink, stop);
}

CompressedModel MakeTernary(const CompressInput& input, const CompressConfig& config,
                            const StoragePlan& storage, const CalibrationTexts& texts, MetricSink& sink,
                            const StopToken& stop) {
  UntrainedResult start;
  if (config.training_start == "feedback")
    start = MakeUntrained(input, config, Tier::kStrict, storage, texts, sink, stop);
  const SecondMoments moments = Calibrate(input, texts.fitted, sink, stop);
  TernaryTraining training{.steps = config.training_steps,
                           .learning_rate = config.learning_rate,
                           .lambda = {LambdaShape(config.lambda_schedule), config.lambda_fraction},
                           .group = storage.group,
                           .tables = storage.tables,
                           .precision = train::ChoosePrecision(config.precision, input.device),
                           .temperature = config.distillation_temperature,
                           .int8_activations = config.int8_activations,
                           .teacher_top_k = config.teacher_top_k,
                           .teacher_folder = input.teacher_folder,
                           .relation_share = config.relation_share,
                           .relation_layer = config.relation_layer,
                           .minutes = config.training_minutes,
                           .max_memory = static_cast<std::uint64_t>(config.max_memory_gb * 1e9),
                           .batch = input.batch,
                           .environment = {}};
  if (config.training_start == "feedback") training.start = &start.model.ternary;
  training.environment.device = input.device;
  training.environment.sink = &sink;
  training.environment.stop = &stop;
  training.environment.name = "compress";
  training.environment.checkpoint = input.checkpoint;
  return TrainTernary(input.weights->config(), input.weights->ReadAll(), moments, training);
}

void CheckInput(const CompressInput& input, const CompressConfig& config) {
  CheckFlagsFit(config);
  std::string why;
  if (config.training_steps > 0 && !input.batch)
    why = "there is no training data, and training_steps is not 0";
  if (input.calibration.empty()) why = "there is no calibration text";
  if (why.empty()) return;
  throw Error({.what = "cannot compress " + input.model_name,
               .why = why,
               .fix = "give a calibration dataset (and --training-steps 0 to do without training)"});
}

/// Likelihoods are minus nats a token, so the ratio of perplexities is that of their exponentials.
bool Passes(const Retention& retention, const CompressConfig& config) {
  if (retention.worst() < config.min_retention) return false;
  for (const DomainRetention& domain : retention.domains)
    if (config.max_ppl_ratio > 0 && domain.before < 0 &&
        std::exp(domain.before - domain.after) > config.max_ppl_ratio)
      return false;
  return true;
}

void Report(const CompressResult& result, MetricSink& sink) {
  sink.Metric("compress/ratio", 0, result.ratio);
  sink.Metric("compress/bits_per_weight", 0, result.size.bits_per_weight);
  sink.Log(fmt::format(
      "compress: {} bytes, {:.2f} times smaller than float16; {:.3f} bits a weight in the linears, {:.3f} "
      "over all",
      result.size.total, result.ratio, result.size.linear_bits_per_weight, result.size.bits_per_weight));
  sink.Metric("compress/divergence", 0, result.divergence.mean);
  sink.Log(
      fmt::format("compress: on {} held-out positions: divergence {:.4f} nats (95 %: {:.3f}), the same "
                  "favourite in {:.1f} %; "
                  "different triples in continuations {:.2f} (before {:.2f})",
                  result.divergence.positions, result.divergence.mean, result.divergence.p95,
                  100 * result.divergence.top1, result.distinct_triples, result.distinct_triples_before));
  if (!result.retention) return;
  sink.Metric("compress/retention", 0, result.retention->mean);
  for (const DomainRetention& domain : result.retention->domains) {
    sink.Metric("compress/retention/" + domain.domain, 0, domain.retention);
    sink.Log(fmt::format("compress: {}: {:.4f} before, {:.4f} after, {:.1f} % kept", domain.domain,
                         domain.before, domain.after, 100 * domain.retention));
  }
}

Retention Compare(const CompressInput& input, const CompressConfig& config, const Scores& before,
                  const Scores& after) {
  return CompareScores(before, after, input.domains, config.seed, input.chance);
}

/// Writes the model and measures the file, not the model: from here on everything is about what lies there.
void ExportAndMeasure(const CompressInput& input, const CompressConfig& config, const CompressedModel& made,
                      std::span<const std::vector<int>> windows, const Scores& before, CompressResult& result,
                      MetricSink& sink, const StopToken& stop) {
  ExportGguf(input.output, made, {result.storage.type, result.storage.tables}, input.tokenizer,
             input.model_name);
  result.size = MeasureGguf(input.output, input.weights->config());
  FORGE_CHECK(config.max_file_mb == 0 || result.size.total <= FileLimit(config));
  result.ratio = static_cast<double>(result.float16_bytes) / static_cast<double>(result.size.total);
  runtime::NativeModel compressed(runtime::PackWeights(*model::OpenGguf(input.output), {}));
  {
    runtime::NativeModel original(runtime::PackWeights(*input.weights, {}));
    result.divergence = MeasureDivergence(original, compressed, windows, stop);
    result.distinct_triples = DistinctTriples(compressed, windows, kContinuation);
  }
  if (input.evaluate) {
    sink.Log("compress: scoring " + input.output.string());
    result.retention = Compare(input, config, before, input.evaluate(compressed));
    result.passed = Passes(*result.retention, config);
  }
}

void MeasureBaselines(const CompressInput& input, const CompressConfig& config, const Scores& before,
                      CompressResult& result, MetricSink& sink, const StopToken& stop) {
  for (const io::BlockType type : {io::BlockType::kQ8_0, io::BlockType::kQ4_0, io::BlockType::kQ4_K}) {
    stop.ThrowIfRequested("the compressed file");
    sink.Log(fmt::format("compress: {} of the same model, to compare", io::Info(type).name));
    std::optional<Baseline> baseline =
        MeasureBaseline(type, input.output, *input.weights, input.tokenizer, input.evaluate);
    if (!baseline) continue;
    BaselineResult& entry = result.baselines.emplace_back();
    if (input.evaluate) entry.retention = Compare(input, config, before, baseline->scores);
    entry.baseline = std::move(*baseline);
  }
}

void WriteExports(const CompressInput& input, const CompressConfig& config, const Scores& before,
                  CompressResult& result, MetricSink& sink, const StopToken& stop) {
  for (const std::string& what : config.also_export) {
    stop.ThrowIfRequested("the compressed file");
    const std::unique_ptr<model::WeightSource> file = model::OpenGguf(input.output);
    ExportResult entry;
    if (what == "f16") {
      entry = {.name = "F16 GGUF", .path = input.output.parent_path() / "model.f16.gguf"};
      ExportFloat16(entry.path, *file, input.tokenizer, input.model_name);
      entry.retention = result.retention;  // the same values
    } else if (what == "packed") {
      entry = {.name = "packed file", .path = input.output.parent_path() / "model.forge"};
      ExportPacked(entry.path, *file,
                   runtime::OptionsFromWords(config.packed_codes, config.packed_embeddings), input.tokenizer,
                   input.model_name);
      if (input.evaluate) {
        runtime::NativeModel loaded(
            runtime::OpenPackedFile(std::make_shared<const io::SectionFile>(entry.path)));
        entry.retention = Compare(input, config, before, input.evaluate(loaded));
      }
    } else {
      entry = {.name = "bitnet folder", .path = input.output.parent_path() / "hf_bitnet"};
      std::filesystem::remove_all(entry.path);
      ExportBitnet(entry.path, *file, input.tokenizer_files);
      if (input.evaluate) {
        runtime::NativeModel loaded(runtime::PackWeights(*model::OpenModelFolder(entry.path), {}));
        entry.retention = Compare(input, config, before, input.evaluate(loaded));
      }
    }
    entry.bytes = BytesOnDisk(entry.path);
    sink.Log(fmt::format("compress: also wrote {}, {} bytes", entry.path.string(), entry.bytes));
    result.exports.push_back(std::move(entry));
  }
}

std::vector<Tier> TiersOf(const CompressConfig& config) {
  if (config.tier == "mixed") return {Tier::kMixed};
  if (config.tier == "dual") return {Tier::kDual};
  if (config.tier == "auto") return {Tier::kStrict, Tier::kMixed, Tier::kDual};
  return {Tier::kStrict};
}

}  // namespace

CompressResult Compress(const CompressInput& original, const CompressConfig& config, MetricSink& sink,
                        const StopToken& stop) {
  CompressResult result{.storage = PlanStorage(config, original.weights->config()), .file = original.output};
  CheckInput(original, config);
  CompressInput input = original;
  std::unique_ptr<model::WeightSource> rotated;
  if (const Rotation rotation = RotationOf(config.rotation); rotation != Rotation::kNone) {
    rotated = RotatedWeights(*original.weights, rotation, config.seed);
    input.weights = rotated.get();
  }
  if (config.training_steps == 0)
    for (const Tier tier : TiersOf(config))
      CheckBudget(input.weights->config(), OptionsOf(input, config, tier, result.storage));
  stop.ThrowIfRequested("the previous stage");
  const CalibrationTexts texts = SplitTexts(input.calibration, config.calibration_samples, config.seed);
  const auto windows = std::span(texts.held_out).first(std::min(texts.held_out.size(), kDivergenceTexts));
  Scores before;
  {
    runtime::NativeModel model(runtime::PackWeights(*original.weights, {}));
    result.distinct_triples_before = DistinctTriples(model, windows, kContinuation);
    if (input.evaluate) {
      sink.Log("compress: scoring the model as it is");
      before = input.evaluate(model);
    }
  }
  if (input.output.has_parent_path()) io::CreateFolders(input.output.parent_path());
  result.float16_bytes = Float16Bytes(original.weights->config());
  if (config.training_steps > 0) {
    const CompressedModel made = MakeTernary(input, config, result.storage, texts, sink, stop);
    ExportAndMeasure(input, config, made, windows, before, result, sink, stop);
  } else {
    for (const Tier tier : TiersOf(config)) {
      UntrainedResult made = MakeUntrained(input, config, tier, result.storage, texts, sink, stop);
      result.tier = tier;
      result.linears = std::move(made.linears);
      result.stored_as = std::move(made.stored_as);
      result.compared = std::move(made.compared);
      ExportAndMeasure(input, config, made.model, windows, before, result, sink, stop);
      if (result.passed) break;
      sink.Log(fmt::format("compress: {} does not pass the gate", Name(tier)));
    }
  }
  WriteExports(input, config, before, result, sink, stop);
  MeasureBaselines(original, config, before, result, sink, stop);
  Report(result, sink);
  return result;
}

}  // namespace forge::compress
