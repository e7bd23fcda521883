// SPDX-License-Identifier: Apache-2.0
#include "pipeline/compress_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "eval/evaluator.h"
#include "eval/starter_items.h"
#include "io/atomic_file.h"
#include "pipeline/compress_texts.h"
#include "pipeline/tasks.h"
#include "text/gguf_tokenizer.h"
#include "track/store_metric_sink.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kStage = "compress";

Json RetentionJson(const std::optional<compress::Retention>& retention) {
  Json json = Json::object();
  if (!retention) return json;
  for (const compress::DomainRetention& domain : retention->domains) {
    json[domain.domain] = {{"before", domain.before},
                           {"after", domain.after},
                           {"retention", domain.retention},
                           {"n", domain.items}};
    Json& row = json[domain.domain];
    const auto add_interval = [&](const char* name, const std::optional<eval::Interval>& interval) {
      if (interval) row[name] = {interval->low, interval->high};
    };
    add_interval("retention_ci", domain.interval);
    add_interval("before_ci", domain.before_interval);
    add_interval("after_ci", domain.after_interval);
    if (domain.corrected) row["retention_above_chance"] = *domain.corrected;
    if (domain.p) row["p_value"] = *domain.p;
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
    if (linear.block)
      linears.back()["layer_error"] = {{"before", linear.block->before},
                                       {"after", linear.block->after},
                                       {"trained_kept", linear.block->kept}};
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
      {"tables", result.size.table_types},
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

/// What a guesser scores: the answer that most items have, or the same probability for each token.
double ChanceOf(const eval::DomainItems& domain, int vocab_size) {
  if (domain.metric == eval::Metric::kNegativeLogLikelihood)
    return -std::log(static_cast<double>(vocab_size));
  std::map<std::string, int> answers;
  int most = 0;
  for (const eval::Item& item : domain.test) most = std::max(most, ++answers[item.completion]);
  return static_cast<double>(most) / static_cast<double>(domain.test.size());
}

}  // namespace

std::vector<eval::DomainItems> LoadCompressDomains(const CompressSettings& settings,
                                                   const model::ModelConfig& config) {
  compress::PlanStorage(settings.compress, config);
  compress::CheckFlagsFit(settings.compress);
  if (settings.calibration_dataset == "starter" && !settings.calibration_texts.empty() &&
      settings.compress.training_steps > 0)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot use --calibration-texts with training on the starter tasks",
                 .why = "that training has batches of its own",
                 .fix = "leave them out, or add --training-steps 0"});
  CheckTextsSuffice(settings);
  std::vector<eval::DomainItems> domains;
  if (settings.calibration_dataset != kSelf)
    domains = LoadTasks(
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
  if (!settings.second_corpus.empty())
    domains.push_back(LoadSecondCorpus(settings.second_corpus, settings.eval_samples));
  return domains;
}

void CheckCanCompress(const OpenedModel& model) {
  for (const model::TensorSpec& spec : model::ListTensors(model.config))
    if (model.weights->TernaryGroup(spec) != 0)
      throw Error({.what = "cannot compress " + model.path.string(),
                   .why = "its linears are ternary already",
                   .fix = "give the uncompressed model"});
}

fs::path RunCompressStage(const CompressSettings& settings, std::vector<eval::DomainItems> domains,
                          const OpenedModel& model, const RunContext& context) {
  context.store->BeginStage(context.run, kStage);
  track::StoreMetricSink sink(*context.store, context.run, kStage, context.terminal);
  const fs::path folder = context.folder / "compress";
  io::CreateFolders(folder);
  if (settings.calibration_dataset == kSelf)
    domains.insert(domains.begin(), SelfDomain(settings, model, context, sink));
  for (eval::DomainItems& domain : domains)
    if (domain.metric == eval::Metric::kNegativeLogLikelihood)
      for (eval::Item& item : domain.test)
        CutToFit(item, *model.tokenizer, model.config.max_position_embeddings);
  compress::CompressConfig config = settings.compress;
  config.seed = context.seed;
  compress::CompressInput input{.weights = model.weights.get()};
  input.tokenizer = text::ToGgufMetadata(model.tokenizer->data(), model.config.vocab_size);
  input.model_name = model.name;
  const std::vector<CalibrationPieces> more = ReadCalibrationTexts(settings);
  input.calibration = CalibrationTexts(domains, more, *model.tokenizer, model.config.max_position_embeddings);
  if (config.training_steps > 0)
    input.batch = settings.calibration_dataset == "starter"
                      ? StarterTrainingBatches(*model.tokenizer, context.seed + 99)
                      : TextTrainingBatches(settings, domains, more, model, context.seed);
  input.evaluate = [&](model::LanguageModel& candidate) {
    compress::Scores scores;
    for (const eval::DomainItems& domain : domains)
      scores.push_back(eval::ScoreItems(candidate, *model.tokenizer, domain.test, domain.metric));
    return scores;
  };
  for (const eval::DomainItems& domain : domains) {
    input.domains.push_back(domain.name);
    input.chance.push_back(ChanceOf(domain, model.config.vocab_size));
  }
  input.output = folder / "model.gguf";
  const io::AtomicFolder tokenizer(folder / "tokenizer", true);  // never committed: only to copy from
  text::SaveTokenizer(tokenizer.path(), model.tokenizer->data(), model.config.max_position_embeddings);
  input.tokenizer_files = tokenizer.path();
  input.device = context.device;
  input.checkpoint = folder / "training.safetensors";
  input.kept_linears = folder / "linears";
  input.teacher_folder = folder / "teacher";
  const compress::CompressResult result = compress::Compress(input, config, sink, *context.stop);
  std::error_code ignored;  // the checkpoint of a finished training takes space and nothing else
  fs::remove(input.checkpoint, ignored);
  fs::remove_all(input.kept_linears, ignored);
  fs::remove_all(input.teacher_folder, ignored);
  fs::remove(input.checkpoint.string() + ".steps", ignored);
  const std::string metric =
      domains[0].metric == eval::Metric::kExactMatch ? "exact match" : "minus nats per token";
  context.store->EndStage(context.run, kStage, track::State::kDone, ResultJson(result, metric));
  return result.file;
}

}  // namespace forge::pipeline
