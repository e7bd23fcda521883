// SPDX-License-Identifier: Apache-2.0
#include "pipeline/box_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>

#include "pipeline/box_algorithm.h"
#include "pipeline/candidate_race.h"
#include "pipeline/change_products.h"
#include "pipeline/merge_space.h"
#include "pipeline/search_budget.h"
#include "pipeline/search_guide.h"

namespace forge::pipeline {
namespace {

constexpr int kGeneration = 8;                  // proposals that the display counts as one
constexpr double kLevelShare[] = {1, 2, 3, 3};  // of the evaluations, by level
constexpr double kOutOfRace = -1e300;
constexpr double kProposalErrorRate = 0.5;  // cma-es does without exact ranks
constexpr double kRaceKeeps = 0.34;         // of the promoted, at least two

class BoxSearch {
 public:
  BoxSearch(const EvolveConfig& config, EvolveCandidates& candidates)
      : config_(config), candidates_(candidates), budget_(config, candidates), guide_(config, candidates) {
    shape_ = {.parents = candidates.num_parents(),
              .layers = candidates.num_layers(),
              .layer_groups = config.layer_groups,
              .with_method = config.method_gene};
    shape_.rope_thetas = {candidates.sources().config->rope_theta};
    for (const OpenedModel& parent : candidates.parents())
      shape_.rope_thetas.push_back(parent.config.rope_theta);
  }

  std::vector<MergeCandidate> Run() {
    std::vector<MergeLevel> levels{MergeLevel::kModels};
    if (config_.finest_level != "models") levels.push_back(MergeLevel::kComponents);
    const bool has_paths = config_.finest_level == "paths";
    if (config_.finest_level == "layers" || has_paths) levels.push_back(MergeLevel::kLayers);
    if (has_paths) levels.push_back(MergeLevel::kPaths);
    double shares = 0, used = 0;
    for (std::size_t l = 0; l < levels.size(); ++l) shares += kLevelShare[l];
    std::unique_ptr<MergeSpace> coarser;
    std::vector<double> optimum;
    for (std::size_t l = 0; l < levels.size(); ++l) {
      const bool is_path = levels[l] == MergeLevel::kPaths;
      auto space = is_path ? std::make_unique<MergeSpace>(*coarser, optimum, config_.path_slices)
                           : std::make_unique<MergeSpace>(levels[l], shape_);
      used += kLevelShare[l];
      Level level{.name = Name(levels[l]), .space = *space, .share = used / shares, .keeps_start = is_path};
      level.budget =
          std::max(1, static_cast<int>(std::lround(config_.evaluations * kLevelShare[l] / shares)));
      level.algorithm = MakeBoxAlgorithm(
          config_,
          {.box = space->box(),
           .start_points = coarser ? std::vector<std::vector<double>>{space->Refine(*coarser, optimum)}
                                   : space->StartPoints(ChangeLengths()),
           .seed = candidates_.context().seed},
          l > 0, candidates_.domains().size());
      if (RacesProposals())
        DriveRaces(level);
      else
        Drive(level);
      // What paths start from is measured by the domains' metric, so that they cannot end below it.
      const bool is_last = l + 1 == levels.size() || levels[l + 1] == MergeLevel::kPaths;
      optimum = guide_.IsLikelihood() && !is_last ? level.algorithm->Recommended() : Best(level);
      coarser = std::move(space);
    }
    return std::move(scored_);
  }

 private:
  std::vector<double> ChangeLengths() const {
    const ChangeAngles angles = MeasureChangeAngles(candidates_.sources());
    candidates_.sink().Log(fmt::format("changes of the parents from the base: {}", Describe(angles)));
    return angles.lengths;
  }

  /// A proposal, from the Ask on.
  struct Seen {
    evolve::Proposal proposal;
    MergeCandidate candidate;
    Scores scores, ternary;
    int missing = 0;  // evaluations
    std::int64_t tokens = 0;
    bool told = false;
    double rank = 0;
  };

  struct Level {
    std::string name;
    const MergeSpace& space;
    double share = 1;          // of the budget that may be used when the level ends
    bool keeps_start = false;  // its first start point is measured whatever the guide says
    int budget = 0;            // proposals
    std::unique_ptr<evolve::SearchAlgorithm> algorithm = nullptr;
    std::deque<Seen> seen = {};              // by proposal id
    std::deque<std::size_t> under_way = {};  // ids, ascending
    int told = 0;
  };

  // ---- asking and telling

  /// Asks and tells until the level's budget is used up.
  void Drive(Level& level) {
    while (true) {
      const std::optional<io::Json> kept = KeptArrival(level);
      while (MayAsk(level, kept)) Ask(level);
      if (level.under_way.empty()) break;
      const std::size_t id = WaitForOne(level, kept);
      if (config_.order == "arrival" && !kept) KeepArrival(level, id);
      Tell(level, level.seen[id]);
    }
  }

  /// Results in the order of arrival: what a stopped run has written down of the next one.
  std::string ArrivalKey(const Level& level) const {
    return fmt::format("arrival {} {}", level.name, level.told);
  }
  std::optional<io::Json> KeptArrival(const Level& level) const {
    if (config_.order != "arrival") return std::nullopt;
    return candidates_.context().store->GetUnit(candidates_.context().run, kEvolveStage, ArrivalKey(level));
  }
  void KeepArrival(const Level& level, std::size_t id) const {
    candidates_.context().store->PutUnit(candidates_.context().run, kEvolveStage, ArrivalKey(level),
                                         {{"id", id}, {"asked", level.seen.size()}});
  }

  bool MayAsk(const Level& level, const std::optional<io::Json>& kept) {
    if (static_cast<int>(level.seen.size()) >= level.budget) return false;
    if (kept) return level.seen.size() < kept->at("asked").get<std::size_t>();
    if (config_.order == "arrival") {
      if (static_cast<int>(level.under_way.size()) >= std::max(1, candidates_.Slots())) return false;
    } else if (!level.under_way.empty() && level.algorithm->IndependentAsks() <= 0) {
      const bool is_steady = config_.algorithm == "nsga2" || config_.algorithm == "map-elites";
      if (!is_steady || config_.surrogate || static_cast<int>(level.under_way.size()) >= config_.pending)
        return false;
    }
    return level.seen.empty() ||
           !budget_.HasEnded(level.name, static_cast<int>(level.seen.size()), tokens_, level.share);
  }

  void Ask(Level& level) {
    evolve::Proposal proposal = level.algorithm->Ask();
    const std::size_t id = level.seen.size();
    MergeCandidate candidate = ToCandidate(level, proposal);
    const ModelChoice model = ModelChoice::Merge(candidate.recipe);
    level.seen.push_back({.proposal = std::move(proposal),
                          .candidate = std::move(candidate),
                          .scores = {},
                          .ternary = {},
                          .missing = 1 + guide_.HasTernary()});
    level.under_way.push_back(id);
    if (RacesProposals()) return;
    candidates_.Submit({model, guide_.MainMeasure()}, 2 * id);
    if (guide_.HasTernary()) candidates_.Submit({model, guide_.TernaryMeasure()}, 2 * id + 1);
  }

  /// Waits for the proposal whose result counts next.
  std::size_t WaitForOne(Level& level, const std::optional<io::Json>& kept) {
    while (true) {
      for (std::size_t i = 0; i < level.under_way.size(); ++i) {
        const std::size_t id = level.under_way[i];
        const bool is_due = kept                     ? id == kept->at("id").get<std::size_t>()
                            : config_.order == "ask" ? i == 0
                                                     : true;
        if (!is_due || level.seen[id].missing > 0) continue;
        level.under_way.erase(level.under_way.begin() + static_cast<std::ptrdiff_t>(i));
        return id;
      }
      EvolveCandidates::Finished finished = candidates_.Next();
      Seen& seen = level.seen[finished.tag / 2];
      (finished.tag % 2 == 0 ? seen.scores : seen.ternary) = std::move(finished.scores);
      seen.tokens += finished.tokens;
      --seen.missing;
    }
  }

  /// `objective`: of a proposal that was not measured whole.
  void Tell(Level& level, Seen& seen, const double* objective = nullptr) {
    const evolve::Outcome outcome =
        guide_.ToOutcome(seen.scores, seen.ternary, seen.candidate.recipe, objective);
    level.algorithm->Tell(seen.proposal.id, outcome);
    seen.told = true;
    seen.rank = guide_.Rank(seen.scores, seen.ternary);
    if (!guide_.IsLikelihood()) Keep(seen.candidate, seen.scores);
    ++level.told;
    tokens_ += seen.tokens;
    candidates_.sink().Progress(kEvolveStage, ++done_, config_.evaluations, "proposals");
  }

  // ---- races

  /// Whether proposals that are asked for together race: all on a quarter of the items, and only those that
  /// may be among the better half on the rest.
  bool RacesProposals() const {
    return config_.race && guide_.IsLikelihood() &&
           (config_.algorithm == "cma-es" || config_.algorithm == "random");
  }

  void DriveRaces(Level& level) {
    while (true) {
      while (MayAsk(level, std::nullopt)) Ask(level);
      if (level.under_way.empty()) break;
      const std::int64_t before = candidates_.tokens();
      std::vector<ModelChoice> models;
      for (const std::size_t id : level.under_way)
        models.push_back(ModelChoice::Merge(level.seen[id].candidate.recipe));
      const CandidateRace race = RaceCandidates(candidates_, models, guide_.MainMeasure(),
                                                (models.size() + 1) / 2, {.error_rate = kProposalErrorRate});
      tokens_ += candidates_.tokens() - before;
      for (std::size_t i = 0; i < models.size(); ++i) {
        Seen& seen = level.seen[level.under_way[i]];
        seen.scores = race.scores[i];
        Tell(level, seen, &race.means[i]);
        if (!std::binary_search(race.survivors.begin(), race.survivors.end(), i)) seen.rank = kOutOfRace;
      }
      level.under_way.clear();
    }
  }

  MergeCandidate ToCandidate(const Level& level, const evolve::Proposal& proposal) {
    MergeCandidate candidate{.number = number_ / kGeneration * 100 + number_ % kGeneration,
                             .generation = static_cast<int>(number_ / kGeneration),
                             .kind = proposal.origin == "start" ? "seed" : "sample",
                             .recipe = level.space.ToRecipe(proposal.point, candidates_.context().seed),
                             .genome = level.space.ToJson(proposal.point, candidates_.context().seed)};
    for (const std::uint64_t parent : proposal.parents)
      candidate.parents.push_back(level.seen[static_cast<std::size_t>(parent)].candidate.number);
    ++number_;
    return candidate;
  }

  // ---- what the level found

  /// Records a candidate that the domains' metric has scored on the search items.
  void Keep(MergeCandidate& candidate, const Scores& scores) {
    candidate.fitness = WeightedMean(candidates_.domains(), scores);
    candidates_.Record(candidate, candidate.id(), scores);
    scored_.push_back(candidate);
  }

  /// The level's optimum by the domains' metric: guided by likelihood, of the best by the guide and of where
  /// the algorithm says the optimum is, which are measured now.
  std::vector<double> Best(Level& level) {
    std::vector<Seen*> ranked;
    for (Seen& seen : level.seen)
      if (seen.told) ranked.push_back(&seen);
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const Seen* a, const Seen* b) { return a->rank > b->rank; });
    if (!guide_.IsLikelihood()) return ranked.front()->proposal.point;
    if (level.keeps_start)
      std::stable_partition(ranked.begin(), ranked.end(),
                            [&](const Seen* seen) { return seen == &level.seen[0]; });
    ranked.resize(std::min(ranked.size(), static_cast<std::size_t>(config_.promoted)));
    evolve::Proposal recommended{.point = level.algorithm->Recommended(), .origin = "centre"};
    Seen centre{
        .proposal = recommended, .candidate = ToCandidate(level, recommended), .scores = {}, .ternary = {}};
    ranked.push_back(&centre);
    Measured(ranked);
    const Seen* best = nullptr;
    for (const Seen* seen : ranked)
      if (best == nullptr || seen->candidate.fitness > best->candidate.fitness) best = seen;
    return best->proposal.point;
  }

  /// Measures them by the domains' metric and keeps them. In a race, those that left it are taken out.
  void Measured(std::vector<Seen*>& ranked) {
    std::vector<ModelChoice> models;
    for (const Seen* seen : ranked) models.push_back(ModelChoice::Merge(seen->candidate.recipe));
    if (config_.race) {
      std::vector<Seen*> measured;
      const auto kept = static_cast<std::size_t>(std::max(2.0, kRaceKeeps * config_.promoted));
      const CandidateRace race = RaceCandidates(candidates_, models, {}, kept, {});
      for (const std::size_t i : race.survivors) {
        Keep(ranked[i]->candidate, race.scores[i]);
        measured.push_back(ranked[i]);
      }
      candidates_.sink().Log(fmt::format("race: {} of {} stayed to the end", measured.size(), ranked.size()));
      ranked = std::move(measured);
      return;
    }
    std::vector<Evaluation> evaluations;
    for (const ModelChoice& model : models) evaluations.push_back({model, {}});
    const std::vector<Scores> scores = candidates_.Score(evaluations);
    for (std::size_t i = 0; i < ranked.size(); ++i) Keep(ranked[i]->candidate, scores[i]);
  }

  const EvolveConfig& config_;
  EvolveCandidates& candidates_;
  SearchBudget budget_;
  SearchGuide guide_;
  MergeSpace::Shape shape_;
  std::vector<MergeCandidate> scored_;
  std::int64_t number_ = 0;
  int done_ = 0;
  std::int64_t tokens_ = 0;  // of what was told
};

}  // namespace

std::vector<MergeCandidate> RunBoxSearch(const EvolveConfig& config, EvolveCandidates& candidates) {
  return BoxSearch(config, candidates).Run();
}

}  // namespace forge::pipeline
