// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "eval/evaluator.h"
#include "evolve/generation_search.h"
#include "runtime/native_model.h"

namespace forge::pipeline {

double WeightedMean(const std::vector<eval::DomainItems>& domains, const Scores& scores) {
  double sum = 0, weights = 0;
  for (std::size_t d = 0; d < domains.size(); ++d) {
    sum += domains[d].weight * eval::Mean(scores[d]);
    weights += domains[d].weight;
  }
  return sum / weights;
}

std::string MergeCandidate::id() const {
  return evolve::IndividualId(static_cast<int>(number / 100), static_cast<int>(number % 100));
}

EvolveCandidates::EvolveCandidates(EvolveInputs inputs, const RunContext& context)
    : context_(context),
      sink_(*context.store, context.run, kEvolveStage, context.terminal),
      base_(std::move(inputs.base)),
      parents_(std::move(inputs.parents)),
      sources_{&base_.config, &base_.weights, {}},
      domains_(std::move(inputs.domains)) {
  for (const LoadedModel& parent : parents_) sources_.parents.push_back(&parent.weights);
  if (inputs.base_is_average)
    sink_.Log("no common base model given: the average of the parents stands for it");
  const double gib = static_cast<double>(WeightBytes(base_.config)) / 1073741824.0;
  sink_.Log(fmt::format("memory: about {:.2f} GiB (base, {} parents, one candidate and its packed copy)",
                        gib * (num_parents() + 3), num_parents()));
}

Scores EvolveCandidates::Score(const merge::MergedModel& model, const Measure& measure) const {
  runtime::NativeModel engine(model.config, model.weights);
  Scores scores;
  for (const eval::DomainItems& domain : domains_) {
    std::vector<eval::Item> items = domain.Of(measure.split);
    if (measure.items > 0) items.resize(std::min(items.size(), static_cast<std::size_t>(measure.items)));
    scores.push_back(
        eval::ScoreItems(engine, *base_.tokenizer, items,
                         measure.likelihood ? eval::Metric::kNegativeLogLikelihood : domain.metric));
  }
  return scores;
}

Scores EvolveCandidates::ScoreOnce(const std::string& id, const Measure& measure,
                                   const std::function<merge::MergedModel()>& make) {
  std::string key = fmt::format("{} {}", id, eval::Name(measure.split));
  if (measure.likelihood) key += fmt::format(" likelihood {}", measure.items);
  if (const auto kept = context_.store->GetUnit(context_.run, kEvolveStage, key)) {
    AddCost(measure, kept->value("seconds", 0.0));
    return kept->at("scores").get<Scores>();
  }
  context_.stop->ThrowIfRequested(("candidate " + id).c_str());
  const merge::MergedModel model = make();
  const auto start = std::chrono::steady_clock::now();
  const Scores scores = Score(model, measure);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  AddCost(measure, seconds);
  context_.store->PutUnit(context_.run, kEvolveStage, key, {{"scores", scores}, {"seconds", seconds}});
  return scores;
}

void EvolveCandidates::AddCost(const Measure& measure, double seconds) {
  if (measure.split != eval::Split::kSearch) return;
  Cost& cost = measure.likelihood ? likelihood_ : full_;
  cost.seconds += seconds;
  ++cost.models;
  std::size_t scored = 0, all = 0;
  for (const eval::DomainItems& domain : domains_) {
    all += domain.search.size();
    scored += measure.items > 0 ? std::min(domain.search.size(), static_cast<std::size_t>(measure.items))
                                : domain.search.size();
  }
  cost.share += static_cast<double>(scored) / static_cast<double>(all);
}

void EvolveCandidates::Record(const MergeCandidate& candidate, const std::string& label,
                              const Scores& scores) {
  track::Store::Transaction unit(*context_.store);
  io::Json by_domain{{"fitness", WeightedMean(domains_, scores)}};
  for (std::size_t d = 0; d < domains_.size(); ++d) {
    by_domain[domains_[d].name] = eval::Mean(scores[d]);
    context_.store->RecordEvaluation(context_.run, {.candidate = candidate.number,
                                                    .split = "search",
                                                    .domain = domains_[d].name,
                                                    .score = eval::Mean(scores[d]),
                                                    .items = {scores[d].begin(), scores[d].end()}});
  }
  context_.store->RecordCandidate(context_.run, {.id = candidate.number,
                                                 .generation = candidate.generation,
                                                 .kind = candidate.kind,
                                                 .label = label,
                                                 .genome = candidate.genome,
                                                 .parents = candidate.parents,
                                                 .scores = by_domain});
  unit.Commit();
}

}  // namespace forge::pipeline
