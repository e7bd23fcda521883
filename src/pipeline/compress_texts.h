// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "eval/item.h"
#include "pipeline/compress_settings.h"
#include "pipeline/model_source.h"
#include "pipeline/run_context.h"
#include "text/tokenizer.h"
#include "train/token_batch.h"

namespace forge::pipeline {

/// The --calibration-dataset that the model writes itself.
inline constexpr const char* kSelf = "self";

/// A text or corpus of --calibration-texts in parts that share nothing.
struct CalibrationPieces {
  std::string name;
  std::vector<eval::Item> calibration;  // at most calibration_samples
  std::vector<eval::Item> training;     // the others; none without training
};

/// The pieces of all --calibration-texts: those to calibrate on evenly spread over a text, at most half of
/// its pieces if there is training. Throws Error(kInput) for a text that cannot be read.
std::vector<CalibrationPieces> ReadCalibrationTexts(const CompressSettings& settings);

/// Throws Error(kInput) for a text file of --calibration-texts that has a single piece if there is training:
/// it would calibrate, and leave nothing to train on.
void CheckTextsSuffice(const CompressSettings& settings);

/// Tokens of texts for the activations, at most 512 or `max_tokens` of each: items to search on, the domains
/// in turn, then the pieces.
std::vector<std::vector<int>> CalibrationTexts(const std::vector<eval::DomainItems>& domains,
                                               const std::vector<CalibrationPieces>& more,
                                               const text::Tokenizer& tokenizer, int max_tokens);

/// Cuts an item to what a model of `max_tokens` can read, with a little room for tokens that a cut makes.
void CutToFit(eval::Item& item, const text::Tokenizer& tokenizer, int max_tokens);

/// At most `count` pieces of a text or corpus, all to measure on. Throws Error(kUsage) for another `spec`.
eval::DomainItems LoadSecondCorpus(const std::string& spec, int count);

/// Texts of the model, written once in a run, in <run>/compress/self.jsonl: some to measure on, the others to
/// calibrate on, or, with training, half of them to calibrate on and half (`selection`) to train on. Throws
/// Error(kInput) if it wrote too few.
eval::DomainItems SelfDomain(const CompressSettings& settings, const OpenedModel& model,
                             const RunContext& context, MetricSink& sink);

/// Batches to learn from the uncompressed model with, of starter tasks, drawn anew for each step; `tokenizer`
/// must live as long.
compress::TrainingBatches StarterTrainingBatches(const text::Tokenizer& tokenizer, std::uint64_t seed);
/// Of the training items of the calibration data set (the texts of the model itself: of domains.front()) and
/// the training pieces, as much of each.
compress::TrainingBatches TextTrainingBatches(const CompressSettings& settings,
                                              const std::vector<eval::DomainItems>& domains,
                                              const std::vector<CalibrationPieces>& more,
                                              const OpenedModel& model, std::uint64_t seed);

}  // namespace forge::pipeline
