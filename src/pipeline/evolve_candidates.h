// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/item.h"
#include "merge/recipe.h"
#include "pipeline/evolve_inputs.h"
#include "pipeline/run_context.h"
#include "track/store_metric_sink.h"

namespace forge::pipeline {

inline constexpr const char* kEvolveStage = "evolve";

/// Scores by domain and item, higher is better.
using Scores = std::vector<std::vector<double>>;

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

/// Makes and scores the models of a search: parents, base and candidates. Every score is a unit of the run,
/// so a search that was stopped reads it back instead of measuring again; every candidate is a row of the
/// store. Counts what scoring cost.
class EvolveCandidates {
 public:
  EvolveCandidates(EvolveInputs inputs, const RunContext& context);

  const LoadedModel& base() const { return base_; }
  const std::vector<LoadedModel>& parents() const { return parents_; }
  const std::vector<eval::DomainItems>& domains() const { return domains_; }
  const merge::MergeSources& sources() const { return sources_; }
  int num_parents() const { return static_cast<int>(parents_.size()); }
  int num_layers() const { return base_.config.num_hidden_layers; }
  track::StoreMetricSink& sink() { return sink_; }
  const RunContext& context() const { return context_; }

  merge::MergedModel Make(const merge::MergeRecipe& recipe) const {
    return merge::ApplyRecipe(recipe, sources_);
  }
  static merge::MergedModel AsMerged(const LoadedModel& model) { return {model.config, model.weights}; }

  /// Scores of a model on a split by the domains' metric, or, with `likelihood`, minus the nats a token of
  /// the gold answers, which needs no generation, of the first `items` of each domain (0: all). Measured once
  /// per `id`.
  struct Measure {
    eval::Split split = eval::Split::kSearch;
    bool likelihood = false;
    int items = 0;
  };
  Scores ScoreOnce(const std::string& id, const Measure& measure,
                   const std::function<merge::MergedModel()>& make);

  /// Writes a candidate's row, with its scores on the search items, in one step.
  void Record(const MergeCandidate& candidate, const std::string& label, const Scores& scores);

  /// What scoring on the search items took, by the domains' metric and by likelihood, what was read back
  /// included.
  struct Cost {
    double seconds = 0;
    int models = 0;
    double share = 0;  // items scored / all search items, over all models
  };
  const Cost& full_cost() const { return full_; }
  const Cost& likelihood_cost() const { return likelihood_; }

 private:
  Scores Score(const merge::MergedModel& model, const Measure& measure) const;
  void AddCost(const Measure& measure, double seconds);

  const RunContext& context_;
  track::StoreMetricSink sink_;
  LoadedModel base_;
  std::vector<LoadedModel> parents_;
  merge::MergeSources sources_;
  std::vector<eval::DomainItems> domains_;
  Cost full_, likelihood_;
};

}  // namespace forge::pipeline
