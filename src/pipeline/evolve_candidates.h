// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "jobs/executor.h"
#include "pipeline/evaluation.h"
#include "pipeline/evolve_evaluator.h"
#include "pipeline/run_context.h"
#include "pipeline/search_display.h"
#include "track/store_metric_sink.h"

namespace forge::pipeline {

inline constexpr const char* kEvolveStage = "evolve";

/// The mean over domains, weighted, of the mean over items.
double WeightedMean(const std::vector<eval::DomainItems>& domains, const Scores& scores);

/// One merge that a search proposes.
struct MergeCandidate {
  std::int64_t number = 0;  // in the store; the id below is made of it
  int generation = 0;
  std::string kind;  // "seed", "mutant", "child", "start", "sample", ..
  merge::MergeRecipe recipe;
  io::Json genome;                    // for the store
  std::vector<std::int64_t> parents;  // numbers
  double fitness = 0;                 // on the search items, by the domains' metric; once scored
  std::string id() const;             // "g003_c05": unique in a run
};

/// The evaluations of a search: parents, base and candidates, handed to an executor. Each result is a unit of
/// the run, so that a search that was stopped reads it back instead of measuring again, and what is asked for
/// twice is measured once; each candidate is a row of the store. Counts what scoring cost.
class EvolveCandidates {
 public:
  /// `evaluator` outlives it. Without an executor evaluations are done in this process, one after the other.
  EvolveCandidates(const EvolveEvaluator& evaluator, const RunContext& context,
                   std::unique_ptr<jobs::Executor> executor = nullptr);
  /// From now on, results of earlier searches in this folder over the same models and items are used, and
  /// ours are kept for later ones.
  void UseKeptEvaluations() { uses_kept_ = true; }

  const std::vector<OpenedModel>& parents() const { return evaluator_.parents(); }
  const std::vector<eval::DomainItems>& domains() const { return evaluator_.domains(); }
  const merge::MergeSources& sources() const { return evaluator_.sources(); }
  int num_parents() const { return static_cast<int>(parents().size()); }
  int num_layers() const { return sources().config->num_hidden_layers; }
  track::StoreMetricSink& sink() { return sink_; }
  SearchDisplay& display() { return display_; }
  const RunContext& context() const { return context_; }
  /// How many evaluations are usefully under way at once.
  int Slots() const { return executor_->Slots(); }

  /// Asks for an evaluation. `tag` comes back with its scores.
  void Submit(const Evaluation& evaluation, std::uint64_t tag);
  struct Finished {
    std::uint64_t tag;
    Scores scores;
    std::int64_t tokens;  // read and written for it
  };
  /// The next evaluation that is done, in any order; what was known already comes first. Throws
  /// Error(kInterrupted) on a request to stop, after which nothing that was done is lost.
  Finished Next();

  /// All of them, in their order. `on_done`, if given, is called with how many are done after each.
  std::vector<Scores> Score(const std::vector<Evaluation>& evaluations,
                            const std::function<void(int)>& on_done = {});
  Scores ScoreOne(const Evaluation& evaluation) { return Score({evaluation})[0]; }

  /// Writes a candidate's row, with its scores on the search items, in one step, and shows it.
  void Record(const MergeCandidate& candidate, const std::string& label, const Scores& scores);

  /// What scoring on the search items took, by the domains' metric and by likelihood, what was read back
  /// included, each evaluation once.
  struct Cost {
    double seconds = 0;
    int models = 0;
    double share = 0;  // items scored / all search items, over all models
    std::int64_t tokens = 0;
  };
  const Cost& full_cost() const { return full_; }
  const Cost& likelihood_cost() const { return likelihood_; }
  /// Evaluations on the search items that were asked for again after they had been done for this search, and
  /// those that an earlier search had done.
  int num_repeated() const { return repeated_; }
  int num_from_earlier_runs() const { return from_earlier_; }
  /// Read and written, over all evaluations.
  std::int64_t tokens() const { return tokens_; }

 private:
  struct Waiting {
    Measure measure;
    std::vector<std::uint64_t> tags;
  };
  void AddCost(const Measure& measure, const io::Json& result);
  void AddRepeated(const Measure& measure) { repeated_ += measure.split == eval::Split::kSearch; }
  /// The unit of this run, or what an earlier run measured, which becomes one.
  std::optional<io::Json> FindDone(const std::string& key);
  std::string KeptKey(const std::string& key) const;

  const EvolveEvaluator& evaluator_;
  const RunContext& context_;
  track::StoreMetricSink sink_;
  SearchDisplay display_;
  std::unique_ptr<jobs::Executor> executor_;
  std::map<std::string, Waiting> waiting_;  // by key
  std::deque<Finished> ready_;
  std::set<std::string> counted_;
  Cost full_, likelihood_;
  bool uses_kept_ = false;
  int repeated_ = 0, from_earlier_ = 0;
  std::int64_t tokens_ = 0;
};

}  // namespace forge::pipeline
