// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "eval/evaluator.h"
#include "eval/statistics.h"
#include "evolve/plateau.h"
#include "io/atomic_file.h"
#include "pipeline/box_search.h"
#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_verdict.h"
#include "pipeline/merge_genome.h"
#include "pipeline/model_reference.h"

namespace forge::pipeline {
namespace {

using eval::Split;
using evolve::Individual;
using io::Json;

constexpr int kReferenceIds = 1000000;            // candidates of the references are numbered from here
constexpr double kTaskArithmetic[] = {0.6, 1.0};  // lambdas that a search has to be better than

class EvolveStage {
 public:
  EvolveStage(const EvolveConfig& config, EvolveInputs inputs, const RunContext& context)
      : config_(config),
        context_(context),
        candidates_(std::move(inputs), context),
        base_(candidates_.base()),
        parents_(candidates_.parents()),
        domains_(candidates_.domains()) {}

  LoadedModel Run() {
    ScoreReferences();
    if (config_.algorithm == "classic")
      ClassicSearch();
    else
      evaluated_ = RunBoxSearch(config_, candidates_);
    return Finish();
  }

 private:
  int parents() const { return candidates_.num_parents(); }
  int layers() const { return candidates_.num_layers(); }

  Scores EvaluateOnce(const std::string& id, Split split, const std::function<merge::MergedModel()>& make) {
    return candidates_.ScoreOnce(id, {.split = split}, make);
  }
  merge::MergedModel Make(const MergeCandidate& candidate) const {
    return candidates_.Make(candidate.recipe);
  }
  static merge::MergedModel AsMerged(const LoadedModel& model) { return EvolveCandidates::AsMerged(model); }

  static std::int64_t Number(
      const std::string& id) {  // "g003_c05" -> 305; references have numbers of their own
    return std::stoll(id.substr(1, 3)) * 100 + std::stoll(id.substr(6));
  }

  void ScoreReferences() {
    int done = 0;
    const auto reference = [&](const std::string& id, const std::string& kind, const std::string& label,
                               const std::function<merge::MergedModel()>& make) {
      const Scores scores = EvaluateOnce(id, Split::kSearch, make);
      candidates_.Record({.number = kReferenceIds + done, .kind = kind, .genome = Json::object()}, label,
                         scores);
      candidates_.sink().Progress(kEvolveStage, ++done, parents() + 2, "references");
    };
    for (const LoadedModel& parent : parents_)
      reference("parent " + parent.name, "parent", parent.name, [&] { return AsMerged(parent); });
    reference("base", "base", base_.name, [&] { return AsMerged(base_); });
    reference("uniform", "uniform", "uniform average",
              [&] { return candidates_.Make(UniformRecipe(parents(), layers())); });
  }

  MergeCandidate ToCandidate(const Individual& individual) const {
    MergeCandidate candidate{.number = Number(individual.id),
                             .generation = individual.generation,
                             .kind = individual.origin == "average" ? "child" : individual.origin,
                             .recipe = ToRecipe(individual.genome, parents(), layers(), context_.seed),
                             .genome = GenomeJson(individual.genome, parents(), layers())};
    for (const std::string& parent : individual.parents) candidate.parents.push_back(Number(parent));
    return candidate;
  }

  void ClassicSearch() {
    const int total = 8 * (config_.generations + 1);
    const evolve::GenomeSpace space = MergeGenomeSpace(parents(), layers());
    const evolve::GenerationSearchConfig search{.mutation_rate = config_.mutation_rate,
                                                .seed = context_.seed};
    const evolve::PlateauRule plateau{config_.plateau_window, config_.plateau_threshold,
                                      config_.plateau_patience};
    std::vector<double> best_by_generation;
    std::vector<Individual> individuals, proposals = MergeSeeds(parents(), layers());
    for (int generation = 0;; ++generation) {
      for (Individual& individual : proposals) {
        MergeCandidate candidate = ToCandidate(individual);
        const Scores scores = EvaluateOnce(candidate.id(), Split::kSearch, [&] { return Make(candidate); });
        individual.score = candidate.fitness = WeightedMean(domains_, scores);
        candidates_.Record(candidate, candidate.id(), scores);
        individuals.push_back(individual);
        evaluated_.push_back(std::move(candidate));
        candidates_.sink().Progress(kEvolveStage, static_cast<std::int64_t>(evaluated_.size()), total,
                                    "candidates");
      }
      best_by_generation.push_back(*evolve::Ranked(individuals).front()->score);
      candidates_.sink().Metric("evolve/best_fitness", generation, best_by_generation.back());
      if (generation >= config_.generations) break;
      if (evolve::HasPlateaued(best_by_generation, plateau)) {
        candidates_.sink().Log(
            fmt::format("the search has been flat for {} generations: stopping after generation {}",
                        plateau.patience, generation));
        break;
      }
      proposals = evolve::NextGeneration(individuals, generation + 1, space, search);
    }
  }

  /// The best first; of equals that which came first.
  std::vector<const MergeCandidate*> Ranked() const {
    std::vector<const MergeCandidate*> ranked;
    for (const MergeCandidate& candidate : evaluated_) ranked.push_back(&candidate);
    std::sort(ranked.begin(), ranked.end(), [](const MergeCandidate* a, const MergeCandidate* b) {
      return a->fitness != b->fitness ? a->fitness > b->fitness : a->number < b->number;
    });
    return ranked;
  }

  LoadedModel Finish() {
    // The champion: best mean on the selection split among the finalists of the search.
    const std::vector<const MergeCandidate*> ranked = Ranked();
    const std::size_t finalists = std::min(ranked.size(), static_cast<std::size_t>(config_.finalists));
    const MergeCandidate* champion = nullptr;
    Scores best;
    for (std::size_t i = 0; i < finalists; ++i) {
      Scores scores = EvaluateOnce(ranked[i]->id(), Split::kSelection, [&] { return Make(*ranked[i]); });
      if (champion != nullptr && WeightedMean(domains_, scores) <= WeightedMean(domains_, best)) continue;
      best = std::move(scores);
      champion = ranked[i];
    }
    const LoadedModel* best_parent = nullptr;
    Scores best_parent_scores;
    for (const LoadedModel& parent : parents_) {
      Scores scores =
          EvaluateOnce("parent " + parent.name, Split::kSelection, [&] { return AsMerged(parent); });
      if (best_parent != nullptr &&
          WeightedMean(domains_, scores) <= WeightedMean(domains_, best_parent_scores))
        continue;
      best_parent_scores = std::move(scores);
      best_parent = &parent;
    }
    LoadedModel result = *best_parent;
    const merge::MergedModel merged = Make(*champion);
    const bool gained = IsGain(best_parent_scores, best, static_cast<int>(finalists));
    if (gained) {
      result.name = "champion";
      result.config = merged.config;
      result.weights = merged.weights;
    }
    const Json report = Report(*champion, *best_parent, merged, gained);
    result.path = context_.folder / "evolve" / "champion";
    io::CreateFolders(result.path.parent_path());
    SaveLoadedModel(result.path, result, IsSmall(), true);
    context_.store->EndStage(context_.run, kEvolveStage, track::State::kDone, report);
    return result;
  }

  bool IsSmall() const { return model::CountParameters(base_.config) < 20'000'000; }

  Json Report(const MergeCandidate& champion, const LoadedModel& best_parent,
              const merge::MergedModel& merged, bool gained) {
    const Scores ours = EvaluateOnce(champion.id(), Split::kTest, [&] { return merged; });
    const Scores uniform = EvaluateOnce("uniform", Split::kTest,
                                        [&] { return candidates_.Make(UniformRecipe(parents(), layers())); });
    std::vector<Scores> by_parent;
    double parent_mean = 0;
    std::size_t best_index = 0;
    for (std::size_t p = 0; p < parents_.size(); ++p) {
      by_parent.push_back(
          EvaluateOnce("parent " + parents_[p].name, Split::kTest, [&] { return AsMerged(parents_[p]); }));
      parent_mean += WeightedMean(domains_, by_parent.back()) / parents();
      if (&parents_[p] == &best_parent) best_index = p;
    }
    const Scores& parent = by_parent[best_index];
    const double champion_score = WeightedMean(domains_, ours), parent_score = WeightedMean(domains_, parent);
    const auto relative = [](double a, double b) { return b == 0 ? 0.0 : (a - b) / std::abs(b); };
    eval::PairedCounts pairs;
    int n = 0;
    Json per_domain = Json::object();
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      for (std::size_t i = 0; i < ours[d].size(); ++i) {
        pairs.won += ours[d][i] > parent[d][i];
        pairs.lost += ours[d][i] < parent[d][i];
      }
      n += static_cast<int>(ours[d].size());
      per_domain[domains_[d].name] = {{"champion", eval::Mean(ours[d])},
                                      {"best_parent", eval::Mean(parent[d])},
                                      {"uniform", eval::Mean(uniform[d])},
                                      {"n", ours[d].size()}};
      for (std::size_t p = 0; p < parents_.size(); ++p)
        per_domain[domains_[d].name]["parents"][parents_[p].name] = eval::Mean(by_parent[p][d]);
    }
    const eval::Interval against_uniform = eval::BootstrapMeanDifference(uniform, ours, context_.seed);
    const auto gain = RelativeGainInterval(parent, ours);
    Json baselines = Json::array({Baseline("uniform average", uniform, ours)});
    for (const double lambda : kTaskArithmetic) {
      const std::string name = fmt::format("task arithmetic {:.1f}", lambda);
      const Scores scores = EvaluateOnce(name, Split::kTest, [&] {
        return candidates_.Make(TaskArithmeticRecipe(parents(), layers(), lambda));
      });
      baselines.push_back(Baseline(name, scores, ours));
    }
    return {
        {"verdict", gained ? "gain" : "no_gain"},
        {"algorithm", config_.algorithm},
        {"champion", champion.number},
        {"champion_recipe", champion.genome},
        {"metric", domains_[0].metric == eval::Metric::kExactMatch ? "exact match" : "minus nats per token"},
        {"champion_score", champion_score},
        {"best_parent", best_parent.name},
        {"best_parent_score", parent_score},
        {"parent_mean_score", parent_mean},
        {"uniform_score", WeightedMean(domains_, uniform)},
        {"gain_relative", relative(champion_score, parent_score)},
        {"gain_ci", {gain.low, gain.high}},
        {"gain_over_uniform", champion_score - WeightedMean(domains_, uniform)},
        {"gain_over_uniform_ci", {against_uniform.low, against_uniform.high}},
        {"p_value", eval::McNemarMidP(pairs)},
        {"won", pairs.won},
        {"lost", pairs.lost},
        {"n", n},
        {"candidates", evaluated_.size()},
        {"cost", CostJson()},
        {"models", ModelsJson()},
        {"baselines", baselines},
        {"per_domain", per_domain}};
  }

  /// What the champion is made of, for who wants to make it again.
  Json ModelsJson() const {
    Json paths = Json::array();
    for (const LoadedModel& parent : parents_)
      paths.push_back(IsLoraFolder(PartsOf(parent.path).base)
                          ? base_.path.string() + "+" + parent.path.string()
                          : parent.path.string());
    return {{"base", base_.path.string()},
            {"parents", std::move(paths)},
            {"layers", layers()},
            {"stored_as", IsSmall() ? "float32" : "bfloat16"}};
  }

  /// What scoring on the search items cost, in evaluations of all of them by the domains' metric. A
  /// likelihood evaluation counts by its items; by the time it takes, which goes to the log, it is cheaper
  /// still.
  Json CostJson() {
    const EvolveCandidates::Cost full = candidates_.full_cost(), likelihood = candidates_.likelihood_cost();
    if (full.models > 0 && likelihood.models > 0)
      candidates_.sink().Log(
          fmt::format("scoring took {:.1f} s: {} models by the tasks' metric, {} by likelihood, by time "
                      "{:.1f} full evaluations",
                      full.seconds + likelihood.seconds, full.models, likelihood.models,
                      (full.seconds + likelihood.seconds) * full.models / full.seconds));
    return {{"full_evaluations", full.models},
            {"likelihood_evaluations", likelihood.models},
            {"full_evaluation_equivalents", full.models + likelihood.share}};
  }

  /// A merge that needs no search, beside the champion.
  Json Baseline(const std::string& name, const Scores& scores, const Scores& ours) const {
    Json per_domain = Json::object();
    for (std::size_t d = 0; d < domains_.size(); ++d) per_domain[domains_[d].name] = eval::Mean(scores[d]);
    const eval::Interval gain = eval::BootstrapMeanDifference(scores, ours, context_.seed);
    return {{"name", name},
            {"score", WeightedMean(domains_, scores)},
            {"per_domain", per_domain},
            {"champion_gain", WeightedMean(domains_, ours) - WeightedMean(domains_, scores)},
            {"champion_gain_ci", {gain.low, gain.high}}};
  }

  /// Interval of (mean ours - mean parent) / |mean parent| over domains, items drawn within their domain,
  /// paired.
  eval::Interval RelativeGainInterval(const Scores& parent, const Scores& ours) const {
    std::vector<std::pair<std::size_t, std::size_t>> items;
    for (std::size_t d = 0; d < ours.size(); ++d)
      for (std::size_t i = 0; i < ours[d].size(); ++i) items.emplace_back(d, i);
    const auto interval = eval::Bootstrap(
        static_cast<int>(items.size()), context_.seed,
        [&](std::span<const int> drawn) -> std::optional<double> {
          std::vector<double> a(ours.size()), b(ours.size()), counts(ours.size());
          for (const int index : drawn) {
            const auto [d, i] = items[static_cast<std::size_t>(index)];
            a[d] += ours[d][i];
            b[d] += parent[d][i];
            ++counts[d];
          }
          double mean_a = 0, mean_b = 0;
          for (std::size_t d = 0; d < a.size(); ++d) {
            if (counts[d] == 0) return std::nullopt;
            mean_a += domains_[d].weight * a[d] / counts[d];
            mean_b += domains_[d].weight * b[d] / counts[d];
          }
          return mean_b == 0 ? std::nullopt : std::optional((mean_a - mean_b) / std::abs(mean_b));
        });
    return interval.value_or(eval::Interval{-1e9, 1e9});
  }

  const EvolveConfig& config_;
  const RunContext& context_;
  EvolveCandidates candidates_;
  const LoadedModel& base_;
  const std::vector<LoadedModel>& parents_;
  const std::vector<eval::DomainItems>& domains_;
  std::vector<MergeCandidate> evaluated_;  // by the domains' metric, on the search items
};

}  // namespace

LoadedModel RunEvolveStage(const EvolveConfig& config, EvolveInputs inputs, const RunContext& context) {
  context.store->BeginStage(context.run, kEvolveStage);
  return EvolveStage(config, std::move(inputs), context).Run();
}

}  // namespace forge::pipeline
