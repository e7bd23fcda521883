// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "io/section_file.h"
#include "model/language_model.h"
#include "train/token_batch.h"

namespace forge::compress {

/// The likeliest tokens of a teacher at every position of the documents that a training reads, found once and
/// kept in files: then the teacher is neither in memory nor computed while the student learns. Positions
/// differ from the teacher itself in that all other tokens count as one (train::TokenBatch::top_k).
class TeacherCache {
 public:
  /// `folder` is made. `top_k` at least 1 and below the size of the vocabulary. `key` says which teacher it
  /// is: files of another one, or with another top_k, are made again.
  TeacherCache(std::filesystem::path folder, int top_k, std::string key);
  TeacherCache(TeacherCache&&) = default;
  ~TeacherCache();

  /// Reads the batches 0 .. count - 1, which are pure, and asks `teacher` (opened only if there is something
  /// to ask) about each document that has no answer yet. Answers are kept for every 64 documents, atomically,
  /// so that what was stopped or killed goes on behind them. Memory: the documents, their answers are mapped:
  /// 8 top_k bytes a token on disk. Throws Error(kInterrupted) when `stop` asks.
  void Fill(int count, const std::function<train::TokenBatch(int)>& batch,
            const std::function<std::unique_ptr<model::LanguageModel>()>& teacher, MetricSink& sink,
            const StopToken& stop);

  /// The batch with top_ids and top_probabilities of its documents, all of which must be there.
  train::TokenBatch Taught(train::TokenBatch batch) const;

 private:
  struct Place {
    std::size_t file = 0, position = 0;  // of its first prediction, in predictions
  };
  bool Open(std::size_t index, const std::vector<std::vector<int>>& documents);
  void Make(std::size_t index, const std::vector<std::vector<int>>& documents, model::LanguageModel& teacher);
  std::filesystem::path PathOf(std::size_t index) const;

  std::filesystem::path folder_;
  int top_k_;
  std::string key_;
  std::vector<std::unique_ptr<io::SectionFile>> files_;
  std::map<std::vector<int>, Place> places_;
};

}  // namespace forge::compress
