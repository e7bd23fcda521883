// SPDX-License-Identifier: Apache-2.0
#include "pipeline/compress_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_lines.h"
#include "pipeline/corpus_items.h"
#include "pipeline/distillation_rows.h"
#include "pipeline/self_texts.h"
#include "pipeline/starter_batches.h"
#include "pipeline/tasks.h"
#include "pipeline/text_items.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr int kDomainRows = 32, kDirectRows = 24;    // of a training step on the starter tasks
constexpr std::size_t kCalibrationTokens = 512;      // of one text
constexpr int kTextRows = 4;                         // of a training step on ordinary text
constexpr int kMostSelfTests = 100;                  // texts, which take their time to write
constexpr std::size_t kMostTrainingPieces = 20'000;  // of a corpus: 32 MB of text

void AddText(const eval::Item& item, const text::Tokenizer& tokenizer, int max_tokens,
             std::vector<std::vector<int>>& texts) {
  std::vector<int> tokens = tokenizer.Encode(item.prompt + item.completion);
  tokens.resize(std::min({tokens.size(), kCalibrationTokens, static_cast<std::size_t>(max_tokens)}));
  if (!tokens.empty()) texts.push_back(std::move(tokens));
}

std::vector<eval::Item> PiecesOf(const std::string& text_file) {
  std::vector<eval::Item> pieces;
  for (NamedItem& piece : ReadTextItems(text_file)) pieces.push_back(std::move(piece.item));
  return pieces;
}

/// `count` of the items, evenly spread over them; the others go to `rest`.
std::vector<eval::Item> TakeSpread(std::vector<eval::Item> items, std::size_t count,
                                   std::vector<eval::Item>* rest = nullptr) {
  count = std::min(count, items.size());
  std::vector<eval::Item> taken;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (taken.size() < count && i == taken.size() * items.size() / count)
      taken.push_back(std::move(items[i]));
    else if (rest != nullptr)
      rest->push_back(std::move(items[i]));
  }
  return taken;
}

}  // namespace

std::vector<std::vector<int>> CalibrationTexts(const std::vector<eval::DomainItems>& domains,
                                               const std::vector<CalibrationPieces>& more,
                                               const text::Tokenizer& tokenizer, int max_tokens) {
  std::vector<std::vector<int>> texts;
  std::size_t longest = 0;
  for (const eval::DomainItems& domain : domains) longest = std::max(longest, domain.search.size());
  for (std::size_t i = 0; i < longest; ++i)
    for (const eval::DomainItems& domain : domains)
      if (i < domain.search.size()) AddText(domain.search[i], tokenizer, max_tokens, texts);
  for (const CalibrationPieces& pieces : more)
    for (const eval::Item& item : pieces.calibration) AddText(item, tokenizer, max_tokens, texts);
  return texts;
}

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

std::vector<CalibrationPieces> ReadCalibrationTexts(const CompressSettings& settings) {
  const bool trains = settings.compress.training_steps > 0;
  const auto wanted = static_cast<std::size_t>(settings.compress.calibration_samples);
  std::vector<CalibrationPieces> texts;
  for (const std::string& spec : settings.calibration_texts) {
    std::vector<eval::Item> all =
        IsCorpus(spec) ? LoadCorpusTraining(spec, trains ? wanted + kMostTrainingPieces : wanted)
                       : PiecesOf(spec);
    CalibrationPieces& pieces =
        texts.emplace_back(CalibrationPieces{.name = IsCorpus(spec) ? spec : fs::path(spec).stem().string()});
    const std::size_t most = trains ? (all.size() + 1) / 2 : all.size();
    pieces.calibration =
        TakeSpread(std::move(all), std::min(wanted, most), trains ? &pieces.training : nullptr);
  }
  return texts;
}

void CheckTextsSuffice(const CompressSettings& settings) {
  if (settings.compress.training_steps == 0) return;
  for (const std::string& spec : settings.calibration_texts)
    if (!IsCorpus(spec) && PiecesOf(spec).size() < 2)
      throw Error(
          {.what = "cannot calibrate and train on the text " + spec,
           .why = "it is one piece (texts are cut every 1600 bytes or so), which calibrates, and "
                  "nothing is left to train on",
           .fix = "give a longer text, leave it out of --calibration-texts, or add --training-steps 0"});
}

eval::DomainItems LoadSecondCorpus(const std::string& spec, int count) {
  eval::DomainItems domain{.name = spec, .metric = eval::Metric::kNegativeLogLikelihood};
  if (IsCorpus(spec)) {
    domain = LoadCorpus(spec, {.search = 1, .selection = 1, .test = count});
  } else if (IsTextFile(spec)) {
    domain.test = TakeSpread(PiecesOf(spec), static_cast<std::size_t>(count));
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
      lines += io::Json{{"prompt", item.prompt}, {"completion", item.completion}}.dump(
                   -1, ' ', false, io::Json::error_handler_t::replace) +
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
  if (settings.compress.training_steps == 0) return domain;
  std::vector<eval::Item> calibration;
  for (std::size_t i = 0; i < domain.search.size(); ++i)
    (i % 2 == 0 ? calibration : domain.selection).push_back(std::move(domain.search[i]));
  domain.search = std::move(calibration);
  return domain;
}

compress::TrainingBatches StarterTrainingBatches(const text::Tokenizer& tokenizer, std::uint64_t seed) {
  const StarterMixture mixture{.math = kDomainRows,
                               .code = kDomainRows,
                               .structured = kDomainRows,
                               .direct = kDirectRows,
                               .direct_operations = 3};
  return [&tokenizer, mixture, seed](int step, int micro, int micro_batches) {
    return BatchOf(tokenizer, MixedStarterItems(mixture, seed, step, micro, micro_batches), Target::kTeacher);
  };
}

compress::TrainingBatches TextTrainingBatches(const CompressSettings& settings,
                                              const std::vector<eval::DomainItems>& domains,
                                              const std::vector<CalibrationPieces>& more,
                                              const OpenedModel& model, std::uint64_t seed) {
  // Minutes are taken for a step a second, which is faster than any model that one would train so long.
  const std::int64_t steps =
      settings.compress.training_minutes > 0
          ? static_cast<std::int64_t>(std::ceil(60 * settings.compress.training_minutes))
          : settings.compress.training_steps;
  std::map<std::string, std::vector<eval::Item>> items;
  if (settings.calibration_dataset == kSelf)
    items[kSelf] = domains.front().selection;
  else
    items = LoadTrainingItems(settings.calibration_dataset);
  for (const CalibrationPieces& pieces : more) {
    std::vector<eval::Item>& own = items[pieces.name];
    own.insert(own.end(), pieces.training.begin(), pieces.training.end());
  }
  const auto rows = std::make_shared<DistillationRows>(
      items, *model.tokenizer, model.config, kTextRows * DistillationRows::kRowTokens * steps, seed);
  return [rows](int step, int micro, int micro_batches) {
    return rows->Batch(step, micro, micro_batches, kTextRows);
  };
}

}  // namespace forge::pipeline
