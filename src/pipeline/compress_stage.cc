// SPDX-License-Identifier: Apache-2.0
#include "pipeline/compress_stage.h"

#include <fmt/format.h>

#include "base/error.h"
#include "eval/evaluator.h"
#include "eval/starter_items.h"
#include "io/atomic_file.h"
#include "pipeline/distillation_rows.h"
#include "pipeline/starter_batches.h"
#include "pipeline/tasks.h"
#include "pipeline/text_items.h"
#include "text/gguf_tokenizer.h"
#include "track/store_metric_sink.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kStage = "compress";
constexpr int kDomainRows = 32, kDirectRows = 24;  // of a training step on the starter tasks
constexpr std::size_t kCalibrationTokens = 512;    // of one text
constexpr int kTextRows = 4;                       // of a training step on ordinary text

/// Texts for the activations, the domains in turn.
std::vector<std::vector<int>> CalibrationTexts(const std::vector<eval::DomainItems>& domains,
                                               const text::Tokenizer& tokenizer) {
  std::vector<std::vector<int>> texts;
  std::size_t longest = 0;
  for (const eval::DomainItems& domain : domains) longest = std::max(longest, domain.search.size());
  for (std::size_t i = 0; i < longest; ++i)
    for (const eval::DomainItems& domain : domains) {
      if (i >= domain.search.size()) continue;
      std::vector<int> tokens = tokenizer.Encode(domain.search[i].prompt + domain.search[i].completion);
      if (tokens.size() > kCalibrationTokens) tokens.resize(kCalibrationTokens);
      if (!tokens.empty()) texts.push_back(std::move(tokens));
    }
  return texts;
}

/// Pieces of a text file, at most `count`, evenly spread over it.
void AddTextFile(const std::string& path, int count, const text::Tokenizer& tokenizer,
                 std::vector<std::vector<int>>& texts) {
  const std::vector<NamedItem> pieces = ReadTextItems(path);
  const std::size_t taken = std::min(pieces.size(), static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < taken; ++i) {
    const eval::Item& item = pieces[i * pieces.size() / taken].item;
    std::vector<int> tokens = tokenizer.Encode(item.prompt + item.completion);
    if (tokens.size() > kCalibrationTokens) tokens.resize(kCalibrationTokens);
    if (!tokens.empty()) texts.push_back(std::move(tokens));
  }
}

Json RetentionJson(const std::optional<compress::Retention>& retention) {
  Json json = Json::object();
  if (!retention) return json;
  for (const compress::DomainRetention& domain : retention->domains) {
    json[domain.domain] = {{"before", domain.before},
                           {"after", domain.after},
                           {"retention", domain.retention},
                           {"n", domain.items}};
    if (domain.interval) json[domain.domain]["retention_ci"] = {domain.interval->low, domain.interval->high};
  }
  return json;
}

Json ClassesJson(const compress::FileSize& size) {
  return {{"linears", size.linears},
          {"embedding and head", size.tables},
          {"norms and biases", size.vectors},
          {"metadata and tokenizer", size.metadata}};
}

Json LinearsJson(const compress::CompressResult& result) {
  Json linears = Json::array();
  for (std::size_t i = 0; i < result.linears.size(); ++i) {
    const compress::LinearReport& linear = result.linears[i];
    linears.push_back({{"name", linear.name},
                       {"stored_as", result.stored_as[i]},
                       {"nearest_error", linear.nearest_error},
                       {"error", linear.error},
                       {"feedback", linear.kept_feedback}});
  }
  return linears;
}

Json ResultJson(const compress::CompressResult& result, const std::string& metric) {
  Json files = Json::array();
  files.push_back({{"name", "input, fp16"}, {"bytes", result.float16_bytes}, {"retention", 1.0}});
  files.push_back({{"name", "ternary"},
                   {"bytes", result.size.total},
                   {"retention", result.retention ? Json(result.retention->mean) : Json()},
                   {"classes", ClassesJson(result.size)}});
  for (const compress::BaselineResult& baseline : result.baselines)
    files.push_back({{"name", baseline.baseline.name},
                     {"bytes", baseline.baseline.size.total},
                     {"retention", baseline.retention ? Json(baseline.retention->mean) : Json()},
                     {"classes", ClassesJson(baseline.baseline.size)}});
  for (const compress::ExportResult& form : result.exports)
    files.push_back({{"name", form.name},
                     {"bytes", form.bytes},
                     {"retention", form.retention ? Json(form.retention->mean) : Json()}});
  return {
      {"tier", compress::Name(result.tier)},
      {"divergence",
       {{"positions", result.divergence.positions},
        {"mean", result.divergence.mean},
        {"p95", result.divergence.p95},
        {"top1", result.divergence.top1},
        {"top5", result.divergence.top5}}},
      {"distinct_triples", {{"before", result.distinct_triples_before}, {"after", result.distinct_triples}}},
      {"linears", LinearsJson(result)},
      {"compared", result.compared},
      {"input_bytes", result.float16_bytes},
      {"output_bytes", result.size.total},
      {"ratio", result.ratio},
      {"bits_per_weight", result.size.linear_bits_per_weight},
      {"bits_per_weight_file", result.size.bits_per_weight},
      {"metric", metric},
      {"retention", result.retention ? Json(result.retention->mean) : Json()},
      {"retention_ci", result.retention && result.retention->interval
                           ? Json{result.retention->interval->low, result.retention->interval->high}
                           : Json()},
      {"worst_retention", result.retention ? Json(result.retention->worst()) : Json()},
      {"passed", result.passed},
      {"per_domain", RetentionJson(result.retention)},
      {"files", files}};
}

}  // namespace

std::vector<eval::DomainItems> LoadCompressDomains(const CompressSettings& settings,
                                                   const model::ModelConfig& config) {
  compress::PlanStorage(settings.compress, config);
  std::vector<eval::DomainItems> domains = LoadTasks(
      settings.calibration_dataset,
      {.search = settings.compress.calibration_samples, .selection = 1, .test = settings.eval_samples});
  if (settings.calibration_dataset == "starter") {
    eval::DomainItems direct{.name = "direct"};
    direct.test = eval::StarterItems(eval::StarterDomain::kDirect, eval::Split::kTest, 2024,
                                     settings.eval_samples, eval::Exactly(3));
    direct.search =
        eval::StarterItems(eval::StarterDomain::kDirect, eval::Split::kSearch, 2024,
                           std::min(500, settings.compress.calibration_samples), eval::Exactly(3));
    domains.push_back(std::move(direct));
  }
  return domains;
}

void CheckCanCompress(const OpenedModel& model) {
  for (const model::TensorSpec& spec : model::ListTensors(model.config))
    if (model.weights->TernaryGroup(spec) != 0)
      throw Error({.what = "cannot compress " + model.path.string(),
                   .why = "its linears are ternary already",
                   .fix = "give the uncompressed model"});
}

fs::path RunCompressStage(const CompressSettings& settings, const std::vector<eval::DomainItems>& domains,
                          const OpenedModel& model, const RunContext& context) {
  context.store->BeginStage(context.run, kStage);
  track::StoreMetricSink sink(*context.store, context.run, kStage, context.terminal);
  const fs::path folder = context.folder / "compress";
  io::CreateFolders(folder);
  compress::CompressConfig config = settings.compress;
  config.seed = context.seed;
  compress::CompressInput input{.weights = model.weights.get()};
  input.tokenizer = text::ToGgufMetadata(model.tokenizer->data(), model.config.vocab_size);
  input.model_name = model.name;
  input.calibration = CalibrationTexts(domains, *model.tokenizer);
  for (const std::string& path : settings.calibration_texts)
    AddTextFile(path, config.calibration_samples, *model.tokenizer, input.calibration);
  if (settings.calibration_dataset == "starter") {
    const StarterMixture mixture{.math = kDomainRows,
                                 .code = kDomainRows,
                                 .structured = kDomainRows,
                                 .direct = kDirectRows,
                                 .direct_operations = 3};
    input.batch = [&, mixture](int step, int micro) {
      return BatchOf(*model.tokenizer,
                     MixedStarterItems(mixture, context.seed + 99, step, micro, input.micro_batches),
                     Target::kTeacher);
    };
  } else if (config.training_steps > 0) {
    const std::int64_t tokens =
        std::int64_t{kTextRows} * DistillationRows::kRowTokens * config.training_steps;
    const auto rows =
        std::make_shared<DistillationRows>(LoadTrainingItems(settings.calibration_dataset), *model.tokenizer,
                                           model.config, tokens, context.seed);
    input.batch = [rows, micro_batches = input.micro_batches](int step, int micro) {
      return rows->Batch(step, micro, micro_batches, kTextRows);
    };
  }
  input.evaluate = [&](model::LanguageModel& candidate) {
    compress::Scores scores;
    for (const eval::DomainItems& domain : domains)
      scores.push_back(eval::ScoreItems(candidate, *model.tokenizer, domain.test, domain.metric));
    return scores;
  };
  for (const eval::DomainItems& domain : domains) input.domains.push_back(domain.name);
  input.output = folder / "model.gguf";
  const io::AtomicFolder tokenizer(folder / "tokenizer", true);  // never committed: only to copy from
  text::SaveTokenizer(tokenizer.path(), model.tokenizer->data(), model.config.max_position_embeddings);
  input.tokenizer_files = tokenizer.path();
  input.device = context.device;
  input.checkpoint = folder / "training.safetensors";
  const compress::CompressResult result = compress::Compress(input, config, sink, *context.stop);
  std::error_code ignored;  // the checkpoint of a finished training takes space and nothing else
  fs::remove(input.checkpoint, ignored);
  const std::string metric =
      domains[0].metric == eval::Metric::kExactMatch ? "exact match" : "minus nats per token";
  context.store->EndStage(context.run, kStage, track::State::kDone, ResultJson(result, metric));
  return result.file;
}

}  // namespace forge::pipeline
