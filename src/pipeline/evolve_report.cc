// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_report.h"

#include <fmt/format.h>

#include <cmath>

#include "eval/evaluator.h"
#include "eval/statistics.h"
#include "pipeline/merge_genome.h"
#include "pipeline/model_reference.h"

namespace forge::pipeline {
namespace {

using io::Json;

constexpr double kTaskArithmetic[] = {0.6, 1.0};  // lambdas that a search has to be better than
constexpr std::int64_t kSmall = 20'000'000;       // parameters

/// Interval of (mean ours - mean parent) / |mean parent| over domains, items drawn within their domain,
/// paired.
eval::Interval RelativeGainInterval(const std::vector<eval::DomainItems>& domains, const Scores& parent,
                                    const Scores& ours, std::uint64_t seed) {
  std::vector<std::pair<std::size_t, std::size_t>> items;
  for (std::size_t d = 0; d < ours.size(); ++d)
    for (std::size_t i = 0; i < ours[d].size(); ++i) items.emplace_back(d, i);
  const auto interval = eval::Bootstrap(
      static_cast<int>(items.size()), seed, [&](std::span<const int> drawn) -> std::optional<double> {
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
          mean_a += domains[d].weight * a[d] / counts[d];
          mean_b += domains[d].weight * b[d] / counts[d];
        }
        return mean_b == 0 ? std::nullopt : std::optional((mean_a - mean_b) / std::abs(mean_b));
      });
  return interval.value_or(eval::Interval{-1e9, 1e9});
}

class Report {
 public:
  Report(const EvolveConfig& config, const EvolveEvaluator& evaluator, EvolveCandidates& candidates,
         const SearchOutcome& outcome)
      : config_(config),
        evaluator_(evaluator),
        candidates_(candidates),
        outcome_(outcome),
        domains_(candidates.domains()),
        seed_(candidates.context().seed) {}

  Json Make() {
    ScoreTestSplit();
    const Scores& parent = by_parent_[outcome_.best_parent];
    const double champion = WeightedMean(domains_, ours_), best = WeightedMean(domains_, parent);
    const auto gain = RelativeGainInterval(domains_, parent, ours_, seed_);
    const eval::Interval over_uniform = eval::BootstrapMeanDifference(uniform_, ours_, seed_);
    double parent_mean = 0;
    for (const Scores& scores : by_parent_)
      parent_mean += WeightedMean(domains_, scores) / static_cast<double>(by_parent_.size());
    Json report{
        {"verdict", outcome_.gained ? "gain" : "no_gain"},
        {"algorithm", config_.algorithm},
        {"champion", outcome_.champion.number},
        {"champion_recipe", outcome_.champion.genome},
        {"metric", domains_[0].metric == eval::Metric::kExactMatch ? "exact match" : "minus nats per token"},
        {"champion_score", champion},
        {"best_parent", candidates_.parents()[outcome_.best_parent].name},
        {"best_parent_score", best},
        {"parent_mean_score", parent_mean},
        {"uniform_score", WeightedMean(domains_, uniform_)},
        {"gain_relative", best == 0 ? 0.0 : (champion - best) / std::abs(best)},
        {"gain_ci", {gain.low, gain.high}},
        {"gain_over_uniform", champion - WeightedMean(domains_, uniform_)},
        {"gain_over_uniform_ci", {over_uniform.low, over_uniform.high}},
        {"candidates", outcome_.evaluated.size()},
        {"cost", CostJson()},
        {"models", ModelsJson()},
        {"baselines", baselines_},
        {"per_domain", PerDomain(parent)}};
    AddPairs(parent, report);
    return report;
  }

 private:
  /// All at once, so that workers share it.
  void ScoreTestSplit() {
    const Measure measure{.split = eval::Split::kTest};
    const int layers = candidates_.num_layers();
    const int parents = candidates_.num_parents();
    std::vector<Evaluation> evaluations{{ModelChoice::Merge(outcome_.champion.recipe), measure},
                                        {ModelChoice::Merge(UniformRecipe(parents, layers)), measure}};
    for (const double lambda : kTaskArithmetic)
      evaluations.push_back({ModelChoice::Merge(TaskArithmeticRecipe(parents, layers, lambda)), measure});
    for (std::size_t p = 0; p < candidates_.parents().size(); ++p)
      evaluations.push_back({ModelChoice::Parent(p), measure});
    const std::vector<Scores> scores = candidates_.Score(evaluations);
    ours_ = scores[0];
    uniform_ = scores[1];
    baselines_ = Json::array({Baseline("uniform average", uniform_)});
    std::size_t next = 2;
    for (const double lambda : kTaskArithmetic)
      baselines_.push_back(Baseline(fmt::format("task arithmetic {:.1f}", lambda), scores[next++]));
    by_parent_.assign(scores.begin() + static_cast<std::ptrdiff_t>(next), scores.end());
  }

  /// A merge that needs no search, beside the champion.
  Json Baseline(const std::string& name, const Scores& scores) const {
    Json per_domain = Json::object();
    for (std::size_t d = 0; d < domains_.size(); ++d) per_domain[domains_[d].name] = eval::Mean(scores[d]);
    const eval::Interval gain = eval::BootstrapMeanDifference(scores, ours_, seed_);
    return {{"name", name},
            {"score", WeightedMean(domains_, scores)},
            {"per_domain", per_domain},
            {"champion_gain", WeightedMean(domains_, ours_) - WeightedMean(domains_, scores)},
            {"champion_gain_ci", {gain.low, gain.high}}};
  }

  Json PerDomain(const Scores& parent) const {
    Json per_domain = Json::object();
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      Json& row = per_domain[domains_[d].name];
      row = {{"champion", eval::Mean(ours_[d])},
             {"best_parent", eval::Mean(parent[d])},
             {"uniform", eval::Mean(uniform_[d])},
             {"n", ours_[d].size()}};
      for (std::size_t p = 0; p < by_parent_.size(); ++p)
        row["parents"][candidates_.parents()[p].name] = eval::Mean(by_parent_[p][d]);
    }
    return per_domain;
  }

  void AddPairs(const Scores& parent, Json& report) const {
    eval::PairedCounts pairs;
    int n = 0;
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      for (std::size_t i = 0; i < ours_[d].size(); ++i) {
        pairs.won += ours_[d][i] > parent[d][i];
        pairs.lost += ours_[d][i] < parent[d][i];
      }
      n += static_cast<int>(ours_[d].size());
    }
    report["p_value"] = eval::McNemarMidP(pairs);
    report["won"] = pairs.won;
    report["lost"] = pairs.lost;
    report["n"] = n;
  }

  /// What the champion is made of, for who wants to make it again.
  Json ModelsJson() const {
    Json paths = Json::array();
    for (const OpenedModel& parent : candidates_.parents())
      paths.push_back(IsLoraFolder(PartsOf(parent.path).base)
                          ? evaluator_.base().path.string() + "+" + parent.path.string()
                          : parent.path.string());
    return {{"base", evaluator_.base().path.string()},
            {"parents", std::move(paths)},
            {"layers", candidates_.num_layers()},
            {"stored_as", IsStoredInFull(*candidates_.sources().config) ? "float32" : "bfloat16"}};
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
                      (full.seconds + likelihood.seconds) * full.share / full.seconds));
    return {{"full_evaluations", full.models},
            {"likelihood_evaluations", likelihood.models},
            {"full_evaluation_equivalents", full.share + likelihood.share},
            {"tokens", full.tokens + likelihood.tokens},
            {"repeated_evaluations", candidates_.num_repeated()},
            {"evaluations_of_earlier_runs", candidates_.num_from_earlier_runs()}};
  }

  const EvolveConfig& config_;
  const EvolveEvaluator& evaluator_;
  EvolveCandidates& candidates_;
  const SearchOutcome& outcome_;
  const std::vector<eval::DomainItems>& domains_;
  std::uint64_t seed_;
  Scores ours_, uniform_;
  std::vector<Scores> by_parent_;
  Json baselines_;
};

}  // namespace

Json EvolveReport(const EvolveConfig& config, const EvolveEvaluator& evaluator, EvolveCandidates& candidates,
                  const SearchOutcome& outcome) {
  return Report(config, evaluator, candidates, outcome).Make();
}

bool IsStoredInFull(const model::ModelConfig& config) { return model::CountParameters(config) < kSmall; }

}  // namespace forge::pipeline
