// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "eval/item.h"
#include "jobs/job.h"
#include "merge/recipe.h"
#include "merge/tensor_statistics.h"
#include "pipeline/evaluation.h"
#include "pipeline/evolve_inputs.h"

namespace forge::pipeline {

/// Makes and scores the models of a search. All of it that runs in a worker.
class EvolveEvaluator {
 public:
  /// `statistics` of the inputs' models; null, or outlives this.
  explicit EvolveEvaluator(EvolveInputs inputs, merge::TensorStatistics* statistics = nullptr);
  EvolveEvaluator(const EvolveEvaluator&) = delete;  // sources point into it

  const OpenedModel& base() const { return base_; }
  const std::vector<OpenedModel>& parents() const { return parents_; }
  const std::vector<eval::DomainItems>& domains() const { return domains_; }
  const merge::MergeSources& sources() const { return sources_; }

  const jobs::Identity& identity() const { return identity_; }

  merge::MergedModel Make(const ModelChoice& model) const;

  /// {"scores": [domain][item], "seconds": of scoring, "read", "written": tokens}.
  io::Json Evaluate(const Evaluation& evaluation) const;

 private:
  jobs::Identity identity_;
  OpenedModel base_;
  std::vector<OpenedModel> parents_;
  merge::MergeSources sources_;
  std::vector<eval::DomainItems> domains_;
};

}  // namespace forge::pipeline
