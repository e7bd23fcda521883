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
#include "pipeline/merge_genome.h"
#include "runtime/native_model.h"
#include "track/store_metric_sink.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using eval::Split;
using evolve::Individual;
using io::Json;

constexpr const char* kStage = "evolve";
constexpr int kReferenceIds = 1000000;            // candidates of the references are numbered from here
constexpr double kTaskArithmetic[] = {0.6, 1.0};  // lambdas that a search has to be better than

/// Scores by domain and item.
using Scores = std::vector<std::vector<double>>;

double WeightedMean(const std::vector<eval::DomainItems>& domains, const Scores& scores) {
  double sum = 0, weights = 0;
  for (std::size_t d = 0; d < domains.size(); ++d) {
    sum += domains[d].weight * eval::Mean(scores[d]);
    weights += domains[d].weight;
  }
  return sum / weights;
}

class EvolveStage {
 public:
  EvolveStage(const EvolveConfig& config, EvolveInputs inputs, const RunContext& context)
      : config_(config),
        context_(context),
        sink_(*context.store, context.run, kStage, context.terminal),
        base_(std::move(inputs.base)),
        parents_(std::move(inputs.parents)),
        sources_{&base_.config, &base_.weights, {}},
        domains_(std::move(inputs.domains)) {
    for (const LoadedModel& parent : parents_) sources_.parents.push_back(&parent.weights);
    if (inputs.base_is_average)
      sink_.Log("no common base model given: the average of the parents stands for it");
    const double gib = static_cast<double>(WeightBytes(base_.config)) / 1073741824.0;
    sink_.Log(fmt::format("memory: about {:.2f} GiB (base, {} parents, one candidate and its packed copy)",
                          gib * (parents() + 3), parents()));
  }

  LoadedModel Run() {
    Search();
    return Finish();
  }

 private:
  int parents() const { return static_cast<int>(parents_.size()); }
  int layers() const { return base_.config.num_hidden_layers; }

  Scores Evaluate(const merge::MergedModel& model, Split split) const {
    runtime::NativeModel engine(model.config, model.weights);
    Scores scores;
    for (const eval::DomainItems& domain : domains_)
      scores.push_back(eval::ScoreItems(engine, *base_.tokenizer, domain.Of(split), domain.metric));
    return scores;
  }

  /// Scores of a model on a split: from the store if it was evaluated before, else measured and kept.
  Scores EvaluateOnce(const std::string& id, Split split, const std::function<merge::MergedModel()>& make) {
    const std::string key = fmt::format("{} {}", id, eval::Name(split));
    if (const auto kept = context_.store->GetUnit(context_.run, kStage, key))
      return kept->at("scores").get<Scores>();
    context_.stop->ThrowIfRequested(("candidate " + id).c_str());
    const Scores scores = Evaluate(make(), split);
    context_.store->PutUnit(context_.run, kStage, key, {{"scores", scores}});
    return scores;
  }

  merge::MergedModel Make(const Individual& individual) const {
    return merge::ApplyRecipe(ToRecipe(individual.genome, parents(), layers(), context_.seed), sources_);
  }
  merge::MergedModel AsMerged(const LoadedModel& model) const { return {model.config, model.weights}; }

  static std::int64_t Number(
      const std::string& id) {  // "g003_c05" -> 305; references have numbers of their own
    return std::stoll(id.substr(1, 3)) * 100 + std::stoll(id.substr(6));
  }

  void Record(std::int64_t id, int generation, const std::string& kind, const std::string& label,
              const Json& genome, const std::vector<std::int64_t>& parent_ids, const Scores& scores) {
    track::Store::Transaction unit(*context_.store);
    Json by_domain{{"fitness", WeightedMean(domains_, scores)}};
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      by_domain[domains_[d].name] = eval::Mean(scores[d]);
      context_.store->RecordEvaluation(context_.run, {.candidate = id,
                                                      .split = "search",
                                                      .domain = domains_[d].name,
                                                      .score = eval::Mean(scores[d]),
                                                      .items = {scores[d].begin(), scores[d].end()}});
    }
    context_.store->RecordCandidate(context_.run, {.id = id,
                                                   .generation = generation,
                                                   .kind = kind,
                                                   .label = label,
                                                   .genome = genome,
                                                   .parents = parent_ids,
                                                   .scores = by_domain});
    unit.Commit();
  }

  void Search() {
    const int total = 8 * (config_.generations + 1) + parents() + 2;
    int done = 0;
    const auto report = [&] { sink_.Progress(kStage, ++done, total, "candidates"); };
    const auto reference = [&](const std::string& id, const std::string& kind, const std::string& label,
                               const std::function<merge::MergedModel()>& make) {
      const Scores scores = EvaluateOnce(id, Split::kSearch, make);
      Record(kReferenceIds + done, 0, kind, label, Json::object(), {}, scores);
      report();
      return WeightedMean(domains_, scores);
    };
    for (const LoadedModel& parent : parents_)
      reference("parent " + parent.name, "parent", parent.name, [&] { return AsMerged(parent); });
    reference("base", "base", base_.name, [&] { return AsMerged(base_); });
    reference("uniform", "uniform", "uniform average",
              [&] { return merge::ApplyRecipe(UniformRecipe(parents(), layers()), sources_); });

    const evolve::GenomeSpace space = MergeGenomeSpace(parents(), layers());
    const evolve::GenerationSearchConfig search{.mutation_rate = config_.mutation_rate,
                                                .seed = context_.seed};
    const evolve::PlateauRule plateau{config_.plateau_window, config_.plateau_threshold,
                                      config_.plateau_patience};
    std::vector<double> best_by_generation;
    std::vector<Individual> proposals = MergeSeeds(parents(), layers());
    for (int generation = 0;; ++generation) {
      for (Individual& individual : proposals) {
        const Scores scores = EvaluateOnce(individual.id, Split::kSearch, [&] { return Make(individual); });
        individual.score = WeightedMean(domains_, scores);
        std::vector<std::int64_t> parent_ids;
        for (const std::string& parent : individual.parents) parent_ids.push_back(Number(parent));
        Record(Number(individual.id), generation,
               individual.origin == "average" ? "child" : individual.origin, individual.id,
               GenomeJson(individual.genome, parents(), layers()), parent_ids, scores);
        evaluated_.push_back(individual);
        report();
      }
      best_by_generation.push_back(*evolve::Ranked(evaluated_).front()->score);
      sink_.Metric("evolve/best_fitness", generation, best_by_generation.back());
      if (generation >= config_.generations) break;
      if (evolve::HasPlateaued(best_by_generation, plateau)) {
        sink_.Log(fmt::format("the search has been flat for {} generations: stopping after generation {}",
                              plateau.patience, generation));
        break;
      }
      proposals = evolve::NextGeneration(evaluated_, generation + 1, space, search);
    }
  }

  LoadedModel Finish() {
    // The champion: best mean on the selection split among the finalists of the search.
    const std::vector<const Individual*> ranked = evolve::Ranked(evaluated_);
    const Individual* champion = nullptr;
    double best = 0;
    for (std::size_t i = 0; i < ranked.size() && i < static_cast<std::size_t>(config_.finalists); ++i) {
      const double score = WeightedMean(
          domains_, EvaluateOnce(ranked[i]->id, Split::kSelection, [&] { return Make(*ranked[i]); }));
      if (champion == nullptr || score > best) {
        best = score;
        champion = ranked[i];
      }
    }
    const LoadedModel* best_parent = nullptr;
    double best_parent_selection = 0;
    for (const LoadedModel& parent : parents_) {
      const double score = WeightedMean(domains_, EvaluateOnce("parent " + parent.name, Split::kSelection,
                                                               [&] { return AsMerged(parent); }));
      if (best_parent == nullptr || score > best_parent_selection) {
        best_parent_selection = score;
        best_parent = &parent;
      }
    }
    LoadedModel result = *best_parent;
    const merge::MergedModel merged = Make(*champion);
    const bool gained = best > best_parent_selection;
    if (gained) {
      result.name = "champion";
      result.config = merged.config;
      result.weights = merged.weights;
    }
    const Json report = Report(*champion, *best_parent, merged, gained);
    result.path = context_.folder / "evolve" / "champion";
    io::CreateFolders(result.path.parent_path());
    SaveLoadedModel(result.path, result, IsSmall(), true);
    context_.store->EndStage(context_.run, kStage, track::State::kDone, report);
    return result;
  }

  bool IsSmall() const { return model::CountParameters(base_.config) < 20'000'000; }

  Json Report(const Individual& champion, const LoadedModel& best_parent, const merge::MergedModel& merged,
              bool gained) {
    const Scores ours = EvaluateOnce(champion.id, Split::kTest, [&] { return merged; });
    const Scores uniform = EvaluateOnce("uniform", Split::kTest, [&] {
      return merge::ApplyRecipe(UniformRecipe(parents(), layers()), sources_);
    });
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
        return merge::ApplyRecipe(TaskArithmeticRecipe(parents(), layers(), lambda), sources_);
      });
      baselines.push_back(Baseline(name, scores, ours));
    }
    return {
        {"verdict", gained ? "gain" : "no_gain"},
        {"champion", Number(champion.id)},
        {"champion_recipe", GenomeJson(champion.genome, parents(), layers())},
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
        {"baselines", baselines},
        {"per_domain", per_domain}};
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
  track::StoreMetricSink sink_;
  LoadedModel base_;
  std::vector<LoadedModel> parents_;
  merge::MergeSources sources_;
  std::vector<eval::DomainItems> domains_;
  std::vector<Individual> evaluated_;
};

}  // namespace

LoadedModel RunEvolveStage(const EvolveConfig& config, EvolveInputs inputs, const RunContext& context) {
  context.store->BeginStage(context.run, kStage);
  return EvolveStage(config, std::move(inputs), context).Run();
}

}  // namespace forge::pipeline
