// SPDX-License-Identifier: Apache-2.0
#include "compress/compressor.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/philox.h"
#include "compress/export.h"
#include "compress/layerwise.h"
#include "io/atomic_file.h"
#include "model/ternary_gguf.h"

namespace forge::compress {
namespace {

/// Inputs used less than this share of the mean get as much weight: a tenth of a percent of the error budget.
constexpr double kLeastMoment = 1e-3;
constexpr std::size_t kHeldOutOf = 8;

/// `count` of the texts, drawn without replacement, in their order.
std::vector<std::vector<int>> ChooseTexts(const std::vector<std::vector<int>>& texts, int count,
                                          std::uint64_t seed) {
  if (static_cast<std::size_t>(count) >= texts.size()) return texts;
  std::vector<std::size_t> indices(texts.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  Random random(seed, "compress/calibration");
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    std::swap(indices[i], indices[i + random.Below(static_cast<std::uint32_t>(indices.size() - i))]);
  indices.resize(static_cast<std::size_t>(count));
  std::sort(indices.begin(), indices.end());
  std::vector<std::vector<int>> chosen;
  for (const std::size_t index : indices) chosen.push_back(texts[index]);
  return chosen;
}

SecondMoments Calibrate(const CompressInput& input, const CompressConfig& config, MetricSink& sink,
                        const StopToken& stop) {
  const std::vector<std::vector<int>> texts =
      ChooseTexts(input.calibration, config.calibration_samples, config.seed);
  runtime::NativeModel model(*input.config, *input.weights);
  SecondMoments moments = CollectSecondMoments(model, texts, &stop);
  RaiseSmallMoments(moments, kLeastMoment);
  sink.Log(fmt::format("compress: calibrated on {} texts", texts.size()));
  return moments;
}

/// The last of every eight texts: never used to fit.
void HoldOut(std::vector<std::vector<int>> texts, std::vector<std::vector<int>>& fitted,
             std::vector<std::vector<int>>& held_out) {
  for (std::size_t i = 0; i < texts.size(); ++i)
    (i % kHeldOutOf == kHeldOutOf - 1 || (texts.size() < kHeldOutOf && i + 1 == texts.size()) ? held_out : fitted)
        .push_back(std::move(texts[i]));
}

/// Without training: linear by linear, on the inputs of the model as far as it is compressed.
CompressedModel CompressLayerwise(const CompressInput& input, const CompressConfig& config, int group,
                                  std::vector<LinearReport>& reports, MetricSink& sink, const StopToken& stop) {
  CompressedModel result{.config = *input.config, .weights = {}, .ternary = {}};
  for (const model::TensorSpec& spec : model::ListTensors(*input.config)) {
    if (IsLinear(spec)) continue;
    model::Tensor& kept = result.weights[spec.name] = input.weights->at(spec.name);
    if (IsTable(spec)) RoundTable(kept.values, input.config->hidden_size);
  }
  std::vector<std::vector<int>> fitted, held_out;
  HoldOut(ChooseTexts(input.calibration, config.calibration_samples, config.seed), fitted, held_out);
  std::size_t tokens = 0;
  for (const auto* part : {&fitted, &held_out})
    for (const std::vector<int>& text : *part) tokens += text.size();
  sink.Log(fmt::format("compress: {} texts to fit, {} held out, {} tokens; memory: about {:.2f} GiB beside the model",
                       fitted.size(), held_out.size(), tokens,
                       static_cast<double>(PlanLayerwiseMemory(*input.config, tokens)) / 1073741824.0));
  const Quantiser& quantiser = FindQuantiser(config.quantiser);
  QuantiseLayerwise(
      *model::WeightsInMemory(*input.config, *input.weights), result.weights.at("model.embed_tokens.weight"), fitted,
      held_out,
      {.choose = [&](const model::TensorSpec&) { return LayerwiseOptions::Choice{&quantiser, group}; },
       .with_feedback = config.method == "feedback"},
      [&](const model::TensorSpec& spec, const QuantisedLinear& linear, const LinearReport& report) {
        result.ternary[spec.name] = ToTernary(linear);
        reports.push_back(report);
      },
      sink, stop);
  return result;
}

CompressedModel MakeTernary(const CompressInput& input, const CompressConfig& config, int group,
                            const SecondMoments& moments, MetricSink& sink, const StopToken& stop) {
  TernaryTraining training{.steps = config.training_steps,
                           .learning_rate = config.learning_rate,
                           .lambda_fraction = config.lambda_fraction,
                           .group = group,
                           .micro_batches = input.micro_batches,
                           .batch = input.batch,
                           .environment = {}};
  training.environment.device = input.device;
  training.environment.sink = &sink;
  training.environment.stop = &stop;
  training.environment.name = "compress";
  training.environment.checkpoint = input.checkpoint;
  return TrainTernary(*input.config, *input.weights, moments, training);
}

void CheckInput(const CompressInput& input, const CompressConfig& config) {
  std::string why;
  if (config.training_steps > 0 && !input.batch)
    why = "there is no training data, and training_steps is not 0";
  if (input.calibration.empty()) why = "there is no calibration text";
  if (why.empty()) return;
  throw Error({.what = "cannot compress " + input.model_name,
               .why = why,
               .fix = "give a calibration dataset (and --training-steps 0 to do without training)"});
}

void Report(const CompressResult& result, MetricSink& sink) {
  sink.Metric("compress/ratio", 0, result.ratio);
  sink.Metric("compress/bits_per_weight", 0, result.size.bits_per_weight);
  sink.Log(fmt::format(
      "compress: {} bytes, {:.2f} times smaller than float16; {:.3f} bits a weight in the linears, {:.3f} "
      "over all",
      result.size.total, result.ratio, result.size.linear_bits_per_weight, result.size.bits_per_weight));
  if (!result.retention) return;
  sink.Metric("compress/retention", 0, result.retention->mean);
  for (const DomainRetention& domain : result.retention->domains) {
    sink.Metric("compress/retention/" + domain.domain, 0, domain.retention);
    sink.Log(fmt::format("compress: {}: {:.4f} before, {:.4f} after, {:.1f} % kept", domain.domain,
                         domain.before, domain.after, 100 * domain.retention));
  }
}

}  // namespace

StoragePlan PlanStorage(const CompressConfig& config, const model::ModelConfig& model) {
  StoragePlan plan;
  plan.group = config.group_size != 0 ? config.group_size : config.export_type == "tq2_0" ? 256 : 64;
  const bool is_large = config.export_type == "tq2_0" || (config.export_type == "auto" && plan.group == 256);
  plan.type = is_large ? io::BlockType::kTQ2_0 : io::BlockType::kQ2_0;
  const int block = static_cast<int>(io::Info(plan.type).elements);
  if (plan.group % block != 0)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("groups of {} weights cannot be stored as {}", plan.group,
                                     io::Info(plan.type).name),
                 .why = fmt::format("a block of it has {} weights with one scale", block),
                 .fix = is_large ? "use --group-size 256, or --export-type q2_0"
                                 : "use --group-size 64, 128 or 256"});
  CheckGroups(model, plan.group);
  return plan;
}

CompressResult Compress(const CompressInput& input, const CompressConfig& config, MetricSink& sink,
                        const StopToken& stop) {
  CompressResult result{.model = {}, .storage = PlanStorage(config, *input.config), .file = input.output};
  CheckInput(input, config);
  stop.ThrowIfRequested("the previous stage");
  Scores before;
  if (input.evaluate) {
    sink.Log("compress: scoring the model as it is");
    runtime::NativeModel original(*input.config, *input.weights);
    before = input.evaluate(original);
  }
  if (input.output.has_parent_path()) io::CreateFolders(input.output.parent_path());
  const CompressedModel made =
      config.training_steps == 0
          ? CompressLayerwise(input, config, result.storage.group, result.linears, sink, stop)
          : MakeTernary(input, config, result.storage.group, Calibrate(input, config, sink, stop), sink, stop);
  ExportGguf(input.output, made, result.storage.type, input.tokenizer, input.model_name);

  // From here on everything is about the file as it lies there.
  model::TernaryModel loaded = model::LoadTernaryGguf(input.output);
  result.size = MeasureGguf(input.output, *input.config);
  result.float16_bytes = MeasureFloat16(input.output, *input.config, *input.weights);
  result.ratio = static_cast<double>(result.float16_bytes) / static_cast<double>(result.size.total);
  if (input.evaluate) {
    sink.Log("compress: scoring " + input.output.string());
    const runtime::WeightType tables =
        input.config->hidden_size % 32 == 0 ? runtime::WeightType::kInt8 : runtime::WeightType::kFloat32;
    runtime::NativeModel compressed(loaded.config, loaded.weights, {.embeddings = tables}, loaded.ternary);
    result.retention = CompareScores(before, input.evaluate(compressed), input.domains, config.seed);
    result.passed = result.retention->worst() >= config.min_retention;
  }
  result.model = {std::move(loaded.config), std::move(loaded.weights), std::move(loaded.ternary)};
  for (const io::BlockType type : {io::BlockType::kQ8_0, io::BlockType::kQ4_0}) {
    stop.ThrowIfRequested("the compressed file");
    sink.Log(fmt::format("compress: {} of the same model, to compare", io::Info(type).name));
    std::optional<Baseline> baseline =
        MeasureBaseline(type, input.output, *input.config, *input.weights, input.tokenizer, input.evaluate);
    if (!baseline) continue;
    BaselineResult& entry = result.baselines.emplace_back();
    if (input.evaluate) entry.retention = CompareScores(before, baseline->scores, input.domains, config.seed);
    entry.baseline = std::move(*baseline);
  }
  Report(result, sink);
  return result;
}

}  // namespace forge::compress
