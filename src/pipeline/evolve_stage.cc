// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_stage.h"

#include <fmt/format.h>

#include <algorithm>

#include "evolve/plateau.h"
#include "io/atomic_file.h"
#include "pipeline/ability_ranking.h"
#include "pipeline/box_search.h"
#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_report.h"
#include "pipeline/evolve_verdict.h"
#include "pipeline/merge_genome.h"
#include "pipeline/pareto_report.h"
#include "pipeline/search_budget.h"
#include "pipeline/search_statistics.h"
#include "pipeline/search_workers.h"

namespace forge::pipeline {
namespace {

using eval::Split;
using evolve::Individual;

constexpr int kReferenceIds = 1000000;  // candidates of the references are numbered from here

class EvolveStage {
 public:
  EvolveStage(const EvolveConfig& config, const EvolveEvaluator& evaluator, EvolveCandidates& candidates)
      : config_(config),
        context_(candidates.context()),
        evaluator_(evaluator),
        candidates_(candidates),
        domains_(candidates.domains()) {}

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

  static std::int64_t Number(
      const std::string& id) {  // "g003_c05" -> 305; references have numbers of their own
    return std::stoll(id.substr(1, 3)) * 100 + std::stoll(id.substr(6));
  }

  void ScoreReferences() {
    struct Reference {
      std::string kind, label;
      ModelChoice model;
    };
    std::vector<Reference> references;
    for (std::size_t p = 0; p < candidates_.parents().size(); ++p)
      references.push_back({"parent", candidates_.parents()[p].name, ModelChoice::Parent(p)});
    references.push_back({"base", evaluator_.base().name, ModelChoice::Base()});
    references.push_back(
        {"uniform", "uniform average", ModelChoice::Merge(UniformRecipe(parents(), layers()))});
    std::vector<Evaluation> evaluations;
    for (const Reference& reference : references) evaluations.push_back({reference.model, {}});
    const std::vector<Scores> scores = candidates_.Score(evaluations, [&](int done) {
      candidates_.sink().Progress(kEvolveStage, done, parents() + 2, "references");
    });
    for (std::size_t i = 0; i < references.size(); ++i)
      candidates_.Record({.number = kReferenceIds + static_cast<std::int64_t>(i),
                          .kind = references[i].kind,
                          .genome = io::Json::object()},
                         references[i].label, scores[i]);
  }

  MergeCandidate ToCandidate(const Individual& individual) const {
    MergeCandidate candidate{.number = Number(individual.id),
                             .generation = individual.generation,
                             .kind = individual.origin == "average" ? "child" : individual.origin,
                             .recipe = ToRecipe(individual.genome, parents(), layers(), context_.seed),
                             .genome = GenomeJson(individual.genome, parents(), layers(), context_.seed)};
    for (const std::string& parent : individual.parents) candidate.parents.push_back(Number(parent));
    return candidate;
  }

  /// Scores a generation; each row is written when all are known, in the order of the candidates.
  void ScoreGeneration(std::vector<Individual>& proposals, int total) {
    std::vector<MergeCandidate> generation;
    std::vector<Evaluation> evaluations;
    for (const Individual& individual : proposals) {
      generation.push_back(ToCandidate(individual));
      evaluations.push_back({ModelChoice::Merge(generation.back().recipe), {}});
    }
    const auto before = static_cast<std::int64_t>(evaluated_.size());
    const std::vector<Scores> scores = candidates_.Score(evaluations, [&](int done) {
      candidates_.sink().Progress(kEvolveStage, before + done, total, "candidates");
    });
    for (std::size_t i = 0; i < proposals.size(); ++i) {
      proposals[i].score = generation[i].fitness = WeightedMean(domains_, scores[i]);
      candidates_.Record(generation[i], generation[i].id(), scores[i]);
      evaluated_.push_back(std::move(generation[i]));
    }
  }

  void ClassicSearch() {
    const int total = 8 * (config_.generations + 1);
    const evolve::GenomeSpace space = MergeGenomeSpace(parents(), layers());
    const evolve::GenerationSearchConfig search{.mutation_rate = config_.mutation_rate,
                                                .seed = context_.seed};
    const evolve::PlateauRule plateau{config_.plateau_window, config_.plateau_threshold,
                                      config_.plateau_patience};
    SearchBudget budget(config_, candidates_);
    std::vector<double> best_by_generation;
    std::vector<Individual> individuals, proposals = MergeSeeds(parents(), layers());
    for (int generation = 0;; ++generation) {
      ScoreGeneration(proposals, total);
      individuals.insert(individuals.end(), proposals.begin(), proposals.end());
      best_by_generation.push_back(*evolve::Ranked(individuals).front()->score);
      if (generation >= config_.generations) break;
      if (evolve::HasPlateaued(best_by_generation, plateau)) {
        candidates_.sink().Log(
            fmt::format("the search has been flat for {} generations: stopping after generation {}",
                        plateau.patience, generation));
        break;
      }
      if (budget.HasEnded("classic", static_cast<int>(evaluated_.size()), candidates_.tokens())) break;
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
    ranked.resize(std::min(ranked.size(), static_cast<std::size_t>(config_.finalists)));
    return ranked;
  }

  /// What decides between the finalists: their means on the selection split, or what their abilities say of
  /// all the answers there.
  std::vector<double> Ranks(const std::vector<const MergeCandidate*>& finalists,
                            const std::vector<Scores>& scores, const std::vector<Scores>& parents) const {
    std::vector<double> ranks;
    if (config_.estimate == "ability") {
      std::vector<std::vector<double>> shares;
      std::vector<double> weights;
      for (const MergeCandidate* finalist : finalists) shares.push_back(SharesOf(finalist->recipe));
      for (const eval::DomainItems& domain : domains_) weights.push_back(domain.weight);
      return ExpectedByAbility(parents, scores, shares, weights);
    }
    for (const Scores& finalist : scores) ranks.push_back(WeightedMean(domains_, finalist));
    return ranks;
  }

  LoadedModel Finish() {
    candidates_.display().Finish();
    const std::vector<const MergeCandidate*> finalists = Ranked();
    std::vector<Evaluation> evaluations;
    for (std::size_t p = 0; p < candidates_.parents().size(); ++p)
      evaluations.push_back({ModelChoice::Parent(p), {.split = Split::kSelection}});
    for (const MergeCandidate* finalist : finalists)
      evaluations.push_back({ModelChoice::Merge(finalist->recipe), {.split = Split::kSelection}});
    const std::vector<Scores> all = candidates_.Score(evaluations);
    const std::vector<Scores> of_parents(all.begin(), all.begin() + parents());
    const std::vector<Scores> of_finalists(all.begin() + parents(), all.end());
    const auto best_of = [](const std::vector<double>& values) {
      return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
    };
    std::vector<double> parent_means;
    for (const Scores& scores : of_parents) parent_means.push_back(WeightedMean(domains_, scores));
    const std::size_t parent = best_of(parent_means);
    const std::size_t finalist = best_of(Ranks(finalists, of_finalists, of_parents));
    const bool gained =
        IsGain(of_parents[parent], of_finalists[finalist], static_cast<int>(finalists.size()));
    const LoadedModel result = Save(*finalists[finalist], parent, gained);
    io::Json report = EvolveReport(
        config_, evaluator_, candidates_,
        {.champion = *finalists[finalist], .best_parent = parent, .gained = gained, .evaluated = evaluated_});
    std::vector<std::string> names;
    for (const eval::DomainItems& domain : domains_) names.push_back(domain.name);
    report["pareto_front"] = ParetoFront(context_.store->Candidates(context_.run), names);
    context_.store->EndStage(context_.run, kEvolveStage, track::State::kDone, report);
    return result;
  }

  /// The champion's folder; the best parent's weights without a gain.
  LoadedModel Save(const MergeCandidate& champion, std::size_t parent, bool gained) const {
    LoadedModel result{.name = candidates_.parents()[parent].name};
    merge::MergedModel merged =
        evaluator_.Make(gained ? ModelChoice::Merge(champion.recipe) : ModelChoice::Parent(parent));
    if (gained) result.name = "champion";
    result.config = merged.config;
    result.weights = std::move(merged.weights);
    result.tokenizer = candidates_.parents()[parent].tokenizer;
    result.path = context_.folder / "evolve" / "champion";
    io::CreateFolders(result.path.parent_path());
    SaveLoadedModel(result.path, result, IsStoredInFull(*candidates_.sources().config), true);
    return result;
  }

  const EvolveConfig& config_;
  const RunContext& context_;
  const EvolveEvaluator& evaluator_;
  EvolveCandidates& candidates_;
  const std::vector<eval::DomainItems>& domains_;
  std::vector<MergeCandidate> evaluated_;  // by the domains' metric, on the search items
};

void LogStart(const EvolveInputs& inputs, track::StoreMetricSink& sink) {
  if (inputs.base_is_average)
    sink.Log("no common base model given: the average of the parents stands for it");
  const double gib = static_cast<double>(WeightBytes(inputs.base.config)) / 1073741824.0;
  sink.Log(fmt::format(
      "memory: about {:.2f} GiB (one candidate and its packed copy; base and {} parents stay in their "
      "files, {:.2f} GiB)",
      2 * gib, inputs.parents.size(), gib * static_cast<double>(inputs.parents.size() + 1)));
}

}  // namespace

LoadedModel RunEvolveStage(const EvolveConfig& config, EvolveInputs inputs, const RunContext& context) {
  context.store->BeginStage(context.run, kEvolveStage);
  track::StoreMetricSink sink(*context.store, context.run, kEvolveStage, context.terminal);
  LogStart(inputs, sink);
  SearchStatistics statistics({.base_hash = inputs.base_hash,
                               .parent_hashes = inputs.parent_hashes,
                               .store = context.store,
                               .log = [&](const std::string& line) { sink.Log(line); }});
  const EvolveEvaluator evaluator(std::move(inputs), &statistics);
  std::unique_ptr<jobs::Executor> fleet;
  if (context.workers > 0 || context.external_workers)
    fleet = MakeSearchFleet(config, evaluator.identity(), context, sink);
  EvolveCandidates candidates(evaluator, context, std::move(fleet));
  if (config.keep_evaluations) candidates.UseKeptEvaluations();
  LoadedModel best = EvolveStage(config, evaluator, candidates).Run();
  const SearchStatistics::Counts kept = statistics.counts();
  if (kept.found + kept.made > 0)
    sink.Log(fmt::format("tables of the changes' magnitudes: {} found in the store, {} made", kept.found,
                         kept.made));
  if (kept.products_found + kept.products_made > 0)
    sink.Log(fmt::format("products of the changes: of {} tensors found in the store, of {} made",
                         kept.products_found, kept.products_made));
  return best;
}

}  // namespace forge::pipeline
