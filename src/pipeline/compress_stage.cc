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
#include "io/json_lines.h"
#include "pipeline/corpus_items.h"
#include "pipeline/distillation_rows.h"
#include "pipeline/self_texts.h"
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
constexpr const char* kSelf = "self";              // the data set that the model writes
constexpr int kMostSelfTests = 100;                // texts, which take their time to write

using TrainingItems = std::map<std::string, std::vector<eval::Item>>;

void AddText(const eval::Item& item, const text::Tokenizer& tokenizer, int max_tokens,
             std::vector<std::vector<int>>& texts) {
  std::vector<int> tokens = tokenizer.Encode(item.prompt + item.completion);
  tokens.resize(std::min({tokens.size(), kCalibrationTokens, static_cast<std::size_t>(max_tokens)}));
  if (!tokens.empty()) texts.push_back(std::move(tokens));
}

/// Texts for the activations, the domains in turn.
std::vector<std::vector<int>> CalibrationTexts(const std::vector<eval::DomainItems>& domains,
                                               const text::Tokenizer& tokenizer, int max_tokens) {
  std::vector<std::vector<int>> texts;
  std::size_t longest = 0;
  for (const eval::DomainItems& domain : domains) longest = std::max(longest, domain.search.size());
  for (std::size_t i = 0; i < longest; ++i)
    for (const eval::DomainItems& domain : domains)
      if (i < domain.search.size()) AddText(domain.search[i], tokenizer, max_tokens, texts);
  return texts;
}

/// The item cut to what the model can read, with a little room for tokens that a cut makes.
void CutToFit(eval::Item& item, const text::Tokenizer& tokenizer, int max_tokens) {
  constexpr int kRoom = 8;
  std::vector<int> prompt = tokenizer.Encode(item.prompt), completion = tokenizer.Encode(item.completion);
  const auto limit = static_cast<std::size_t>(std::max(2 * kRoom, max_tokens - kRoom));
  if (prompt.size() + completion.size() <= limit) return;
  if (prompt.size() > limit / 4) {
    prompt.resize(limit / 4);
    item.prompt = tokenizer.Decode(prompt);
  }
  completion.resize(std::min(completion.size(), limit - prompt.size()));
  item.completion = tokenizer.Decode(completion);
}

/// Pieces of a text file or corpus, at most `count`; of a file evenly spread over it.
std::vector<eval::Item> SomePieces(const std::string& spec, int count) {
  if (IsCorpus(spec)) return LoadCorpusTraining(spec, static_cast<std::size_t>(count));
  const std::vector<NamedItem> pieces = ReadTextItems(spec);
  const std::size_t taken = std::min(pieces.size(), static_cast<std::size_t>(count));
  std::vector<eval::Item> items;
  for (std::size_t i = 0; i < taken; ++i) items.push_back(pieces[i * pieces.size() / taken].item);
  return items;
}

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

/// What a guesser scores: the answer that most items have, or the same probability for each token.
double ChanceOf(const eval::DomainItems& domain, int vocab_size) {
  if (domain.metric == eval::Metric::kNegativeLogLikelihood)
    return -std::log(static_cast<double>(vocab_size));
  std::map<std::string, int> answers;
  int most = 0;
  for (const eval::Item& item : domain.test) most = std::max(most, ++answers[item.completion]);
  return static_cast<double>(most) / static_cast<double>(domain.test.size());
}

/// All pieces of a text or corpus that nothing was fitted to.
eval::DomainItems LoadSecondCorpus(const std::string& spec, int count) {
  eval::DomainItems domain{.name = spec, .metric = eval::Metric::kNegativeLogLikelihood};
  if (IsCorpus(spec)) {
    domain = LoadCorpus(spec, {.search = 1, .selection = 1, .test = count});
  } else if (IsTextFile(spec)) {
    domain.test = SomePieces(spec, count);
    domain.name = fs::path(spec).stem().string();
  } else {
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot measure on --second-corpus " + spec,
                 .why = "it is neither a text file nor a corpus that forge knows",
                 .fix = "give a path ending in .txt, wikitext, wikitext103 or openwebtext"});
  }
  domain.search.clear();
  return domain;
}

/// Texts of the model, written once in a run.
eval::DomainItems SelfDomain(const CompressSettings& settings, const OpenedModel& model,
                             const RunContext& context, MetricSink& sink) {
  const fs::path path = context.folder / "compress" / "self.jsonl";
  eval::DomainItems domain{.name = kSelf, .metric = eval::Metric::kNegativeLogLikelihood};
  const int tests = std::min(settings.eval_samples, kMostSelfTests);
  if (!fs::exists(path)) {
    std::string lines;
    for (const eval::Item& item :
         WriteSelfTexts(model, {.count = settings.compress.calibration_samples + tests, .seed = context.seed},
                        sink, *context.stop))
      lines += Json{{"prompt", item.prompt}, {"completion", item.completion}}.dump(
                   -1, ' ', false, Json::error_handler_t::replace) +
               "\n";
    io::WriteFileAtomically(path, lines);
  }
  io::JsonLines lines(path, "{\"prompt\": .., \"completion\": ..}");
  while (lines.Next()) {
    std::vector<eval::Item>& split =
        static_cast<int>(domain.test.size()) < tests ? domain.test : domain.search;
    split.push_back({lines.FilledText("prompt"), lines.FilledText("completion")});
  }
  if (domain.search.empty())
    throw Error({.what = "the model wrote too few texts to calibrate on",
                 .why = fmt::format("{} came of it, and these are held out", domain.test.size()),
                 .fix = "give more --calibration-samples, or a text file as --calibration-dataset"});
  return domain;
}

}  // namespace

std::vector<eval::DomainItems> LoadCompressDomains(const CompressSettings& settings,
                                                   const model::ModelConfig& config) {
  compress::PlanStorage(settings.compress, config);
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
  const bool is_self = settings.calibration_dataset == kSelf;
  if (is_self) domains.insert(domains.begin(), SelfDomain(settings, model, context, sink));
  for (eval::DomainItems& domain : domains)
    if (domain.metric == eval::Metric::kNegativeLogLikelihood)
      for (eval::Item& item : domain.test)
        CutToFit(item, *model.tokenizer, model.config.max_position_embeddings);
  compress::CompressConfig config = settings.compress;
  config.seed = context.seed;
  compress::CompressInput input{.weights = model.weights.get()};
  input.tokenizer = text::ToGgufMetadata(model.tokenizer->data(), model.config.vocab_size);
  input.model_name = model.name;
  input.calibration = CalibrationTexts(domains, *model.tokenizer, model.config.max_position_embeddings);
  for (const std::string& spec : settings.calibration_texts)
    for (const eval::Item& item : SomePieces(spec, config.calibration_samples))
      AddText(item, *model.tokenizer, model.config.max_position_embeddings, input.calibration);
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
    // Minutes are taken for a step a second, which is faster than any model that one would train so long.
    const std::int64_t steps = config.training_minutes > 0
                                   ? static_cast<std::int64_t>(std::ceil(60 * config.training_minutes))
                                   : config.training_steps;
    const std::int64_t tokens = kTextRows * DistillationRows::kRowTokens * steps;
    const auto rows = std::make_shared<DistillationRows>(
        is_self ? TrainingItems{{kSelf, domains[0].search}} : LoadTrainingItems(settings.calibration_dataset),
        *model.tokenizer, model.config, tokens, context.seed);
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
  const compress::CompressResult result = compress::Compress(input, config, sink, *context.stop);
  std::error_code ignored;  // the checkpoint of a finished training takes space and nothing else
  fs::remove(input.checkpoint, ignored);
  fs::remove_all(input.kept_linears, ignored);
  fs::remove(input.checkpoint.string() + ".steps", ignored);
  const std::string metric =
      domains[0].metric == eval::Metric::kExactMatch ? "exact match" : "minus nats per token";
  context.store->EndStage(context.run, kStage, track::State::kDone, ResultJson(result, metric));
  return result.file;
}

}  // namespace forge::pipeline
