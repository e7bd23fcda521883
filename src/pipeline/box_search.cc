// SPDX-License-Identifier: Apache-2.0
#include "pipeline/box_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "eval/evaluator.h"
#include "evolve/cma_es.h"
#include "evolve/map_elites.h"
#include "evolve/nsga2.h"
#include "evolve/random_search.h"
#include "pipeline/merge_space.h"

namespace forge::pipeline {
namespace {

constexpr int kGeneration = 8;               // proposals that the display counts as one
constexpr double kFirstStep = 0.15;          // standard deviation of the first samples, as a share of the box
constexpr double kRefinedStep = 0.06;        // of a level that starts from an optimum
constexpr double kLevelShare[] = {1, 2, 3};  // of the evaluations, by level

/// The length of a parent's change, over all weights.
std::vector<double> ChangeNorms(const merge::MergeSources& sources) {
  std::vector<double> norms;
  for (const model::ModelWeights* parent : sources.parents) {
    double sum = 0;
    for (const auto& [name, base] : *sources.base) {
      const std::vector<float>& values = parent->at(name).values;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double change = static_cast<double>(values[i]) - static_cast<double>(base.values[i]);
        sum += change * change;
      }
    }
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

std::unique_ptr<evolve::SearchAlgorithm> MakeAlgorithm(const EvolveConfig& config,
                                                       evolve::SearchOptions options, bool refines,
                                                       std::size_t domains) {
  if (config.algorithm == "random") return std::make_unique<evolve::RandomSearch>(std::move(options));
  if (config.algorithm == "nsga2")
    return std::make_unique<evolve::Nsga2>(std::move(options), evolve::Nsga2Config{.population_size = 24});
  if (config.algorithm == "map-elites") {
    // Behaviour: how the coefficients lean, one descriptor for each parent but the last.
    evolve::Box ranges;
    for (std::size_t d = 0; d + 1 < std::max<std::size_t>(domains, 2); ++d)
      ranges.dimensions.push_back({fmt::format("share of parent {}", d + 1), 0, 1});
    return std::make_unique<evolve::MapElites>(std::move(options), std::move(ranges),
                                               evolve::MapElitesConfig{.bins = 6, .initial_points = 24});
  }
  return std::make_unique<evolve::CmaEs>(
      std::move(options),
      evolve::CmaEsConfig{.initial_step_size = refines ? kRefinedStep : kFirstStep, .restarts = "none"});
}

class BoxSearch {
 public:
  BoxSearch(const EvolveConfig& config, EvolveCandidates& candidates)
      : config_(config), candidates_(candidates) {
    shape_ = {.parents = candidates.num_parents(),
              .layers = candidates.num_layers(),
              .layer_groups = config.layer_groups,
              .with_method = config.method_gene};
    SetDomainFloors();
  }

  std::vector<MergeCandidate> Run() {
    std::vector<MergeLevel> levels{MergeLevel::kModels};
    if (config_.finest_level != "models") levels.push_back(MergeLevel::kComponents);
    if (config_.finest_level == "layers") levels.push_back(MergeLevel::kLayers);
    double shares = 0;
    for (std::size_t l = 0; l < levels.size(); ++l) shares += kLevelShare[l];
    std::unique_ptr<MergeSpace> coarser;
    std::vector<double> optimum;
    for (std::size_t l = 0; l < levels.size(); ++l) {
      auto space = std::make_unique<MergeSpace>(levels[l], shape_);
      const auto starts = coarser ? std::vector<std::vector<double>>{space->Refine(*coarser, optimum)}
                                  : space->StartPoints(ChangeNorms(candidates_.sources()));
      const int budget = static_cast<int>(std::lround(config_.evaluations * kLevelShare[l] / shares));
      optimum = RunLevel(*space, starts, std::max(budget, 1), l > 0, l + 1 == levels.size());
      coarser = std::move(space);
    }
    return std::move(scored_);
  }

 private:
  bool IsGuidedByLikelihood() const { return config_.guide == "likelihood"; }

  EvolveCandidates::Measure GuideMeasure() const {
    if (!IsGuidedByLikelihood()) return {};
    return {.likelihood = true, .items = config_.guide_items};
  }

  /// With min_per_domain: what each domain must reach, by the measure that guides, less the margin.
  void SetDomainFloors() {
    if (config_.min_per_domain < 0) return;
    floors_.assign(candidates_.domains().size(), -1e300);
    for (const LoadedModel& parent : candidates_.parents()) {
      const Scores scores = candidates_.ScoreOnce("parent " + parent.name, GuideMeasure(),
                                                  [&] { return EvolveCandidates::AsMerged(parent); });
      for (std::size_t d = 0; d < floors_.size(); ++d)
        floors_[d] = std::max(floors_[d], eval::Mean(scores[d]) - config_.min_per_domain);
    }
  }

  evolve::Outcome ToOutcome(const Scores& scores, const merge::MergeRecipe& recipe) const {
    evolve::Outcome outcome;
    if (config_.algorithm == "nsga2")
      for (const std::vector<double>& domain : scores) outcome.objectives.push_back(eval::Mean(domain));
    else
      outcome.objectives = {WeightedMean(candidates_.domains(), scores)};
    for (std::size_t d = 0; d < floors_.size(); ++d)
      outcome.violation += std::max(0.0, floors_[d] - eval::Mean(scores[d]));
    if (config_.algorithm == "map-elites") outcome.descriptors = Descriptors(recipe);
    return outcome;
  }

  std::vector<double> Descriptors(const merge::MergeRecipe& recipe) const {
    std::vector<double> shares;
    double total = 0;
    for (const std::vector<double>& row : recipe.coefficients) {
      double sum = 0;
      for (const double coefficient : row) sum += std::fabs(coefficient);
      shares.push_back(sum);
      total += sum;
    }
    for (double& share : shares) share = total > 0 ? share / total : 0;
    shares.resize(std::max<std::size_t>(candidates_.domains().size(), 2) - 1);
    return shares;
  }

  /// Returns the optimum: by the guide where finer levels follow, else of the points scored by the domains'
  /// metric.
  std::vector<double> RunLevel(const MergeSpace& space, const std::vector<std::vector<double>>& starts,
                               int budget, bool refines, bool is_last) {
    const auto algorithm = MakeAlgorithm(
        config_, {.box = space.box(), .start_points = starts, .seed = candidates_.context().seed}, refines,
        candidates_.domains().size());
    std::vector<Seen> seen;
    for (int i = 0; i < budget; ++i) {
      const evolve::Proposal proposal = algorithm->Ask();
      MergeCandidate candidate = ToCandidate(space, proposal, seen);
      const Scores scores = candidates_.ScoreOnce(candidate.id(), GuideMeasure(),
                                                  [&] { return candidates_.Make(candidate.recipe); });
      const evolve::Outcome outcome = ToOutcome(scores, candidate.recipe);
      algorithm->Tell(proposal.id, outcome);
      const double guide = WeightedMean(candidates_.domains(), scores) - kPenalty * outcome.violation;
      seen.push_back({std::move(candidate), proposal.point, guide});
      if (!IsGuidedByLikelihood()) Keep(seen.back().candidate, scores);
      Report();
    }
    if (IsGuidedByLikelihood() && !is_last) return algorithm->Recommended();
    return Best(space, *algorithm, seen);
  }

  struct Seen {
    MergeCandidate candidate;
    std::vector<double> point;
    double guide;
  };

  MergeCandidate ToCandidate(const MergeSpace& space, const evolve::Proposal& proposal,
                             const std::vector<Seen>& seen) {
    MergeCandidate candidate{.number = number_ / kGeneration * 100 + number_ % kGeneration,
                             .generation = static_cast<int>(number_ / kGeneration),
                             .kind = proposal.origin == "start" ? "seed" : "sample",
                             .recipe = space.ToRecipe(proposal.point, candidates_.context().seed),
                             .genome = space.ToJson(proposal.point)};
    for (const std::uint64_t parent : proposal.parents)
      candidate.parents.push_back(seen[static_cast<std::size_t>(parent)].candidate.number);
    ++number_;
    return candidate;
  }

  /// Records a candidate that the domains' metric has scored on the search items.
  void Keep(MergeCandidate& candidate, const Scores& scores) {
    candidate.fitness = WeightedMean(candidates_.domains(), scores);
    candidates_.Record(candidate, candidate.id(), scores);
    scored_.push_back(candidate);
    best_ = std::max(best_, candidate.fitness);
    candidates_.sink().Metric("evolve/best_fitness", candidate.generation, best_);
  }

  /// The best by the guide, and where the algorithm says the optimum is, are scored by the domains' metric.
  std::vector<double> Best(const MergeSpace& space, const evolve::SearchAlgorithm& algorithm,
                           std::vector<Seen>& seen) {
    std::vector<Seen*> ranked;
    for (Seen& s : seen) ranked.push_back(&s);
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const Seen* a, const Seen* b) { return a->guide > b->guide; });
    if (!IsGuidedByLikelihood()) return ranked.front()->point;
    ranked.resize(std::min(ranked.size(), static_cast<std::size_t>(config_.promoted)));
    Seen centre{ToCandidate(space, {.point = algorithm.Recommended(), .origin = "centre"}, seen),
                algorithm.Recommended(), 0};
    ranked.push_back(&centre);
    const Seen* best = nullptr;
    for (Seen* s : ranked) {
      Keep(s->candidate, candidates_.ScoreOnce(s->candidate.id(), {},
                                               [&] { return candidates_.Make(s->candidate.recipe); }));
      if (best == nullptr || s->candidate.fitness > best->candidate.fitness) best = s;
    }
    return best->point;
  }

  void Report() {
    ++done_;
    candidates_.sink().Progress(kEvolveStage, done_, config_.evaluations, "proposals");
  }

  static constexpr double kPenalty =
      1e3;  // of a violation, so that what is not allowed is never promoted first

  const EvolveConfig& config_;
  EvolveCandidates& candidates_;
  MergeSpace::Shape shape_;
  std::vector<double> floors_;
  std::vector<MergeCandidate> scored_;
  std::int64_t number_ = 0;
  int done_ = 0;
  double best_ = -1e300;
};

}  // namespace

std::vector<MergeCandidate> RunBoxSearch(const EvolveConfig& config, EvolveCandidates& candidates) {
  return BoxSearch(config, candidates).Run();
}

}  // namespace forge::pipeline
