// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_es.h"

#include <algorithm>
#include <cmath>

#include "evolve/cma_distribution.h"
#include "evolve/cma_restarts.h"

namespace forge::evolve {
namespace {

using Eigen::VectorXd;

// Share of the box's width; 0.29 is uniform. With 0.5, folded samples say so little that learning-rate
// adaptation, whose step-size correction widens at first, takes the sphere for noise and does not get away.
constexpr double kLargestDeviation = 0.25;

VectorXd ToVector(const std::vector<double>& values) {
  return Eigen::Map<const VectorXd>(values.data(), static_cast<Eigen::Index>(values.size()));
}

struct Sample {
  int run, distribution;  // what it was drawn from
  VectorXd unfolded;
};

struct Member {
  std::uint64_t id;
  VectorXd step;
  Outcome outcome;
};

}  // namespace

class CmaEs::Runs {
 public:
  Runs(const CmaEs& search, const CmaEsConfig& config)
      : search_(search),
        config_(config),
        restarts_(config.restarts, config.max_restarts,
                  {.population_size = config.population_size > 0 ? std::max(2, config.population_size)
                                                                 : DefaultPopulationSize(dimension()),
                   .step_size = config.initial_step_size},
                  search.options().seed) {
    const auto& starts = search.options().start_points;
    num_starts_left_ = starts.size();
    Begin(starts.empty() ? VectorXd::Constant(dimension(), 0.5) : ToVector(search.box().ToUnit(starts[0])));
  }

  Proposal Propose(std::uint64_t id) {
    const std::uint64_t index = num_samples_++;
    const bool is_mirrored = config_.mirrored_sampling && index % 2 == 1;
    Random random(search_.options().seed, "evolve/cma-es/sample", is_mirrored ? index - 1 : index);
    VectorXd z(dimension());
    for (double& value : z) value = is_mirrored ? -random.Normal() : random.Normal();
    VectorXd unfolded = distribution_->mean() + distribution_->step_size() * distribution_->Step(z);
    std::vector<double> point = InBox(unfolded);
    samples_.emplace(id, Sample{restarts_.count(), num_distributions_, std::move(unfolded)});
    return {.point = std::move(point), .origin = "sample"};
  }

  void LearnStart(const Proposal& proposal, const Outcome& outcome) {
    --num_starts_left_;
    if (!outcome.failed() && (!best_start_ || IsBetter(outcome, *best_start_))) {
      best_start_ = outcome;
      const VectorXd mean = ToVector(search_.box().ToUnit(proposal.point));
      if (mean != distribution_->mean()) {
        distribution_->MoveTo(mean);
        // What was drawn around another point says nothing about the neighbourhood of this one.
        num_distributions_ += config_.max_delay + 1;
        members_.clear();
      }
    }
    UpdateIfFull();
  }

  void LearnSample(const Proposal& proposal, const Outcome& outcome) {
    const auto found = samples_.find(proposal.id);
    Sample sample = std::move(found->second);
    samples_.erase(found);
    if (sample.run != restarts_.count()) return;
    ++num_results_;
    const int delay = num_distributions_ - sample.distribution;
    if (delay > config_.max_delay) return;
    VectorXd step = (sample.unfolded - distribution_->mean()) / distribution_->step_size();
    if (delay > 0) step *= std::min(1.0, LongestInjectedStep() / distribution_->Whitened(step).norm());
    members_.push_back({proposal.id, std::move(step), outcome});
    UpdateIfFull();
  }

  int NumLeftOfGeneration() const {
    if (num_starts_left_ > 0) return 0;
    const auto drawn = std::count_if(samples_.begin(), samples_.end(), [&](const auto& entry) {
      return entry.second.distribution == num_distributions_;
    });
    const int missing = restarts_.current().population_size - static_cast<int>(members_.size());
    return std::max(0, missing - static_cast<int>(drawn));
  }

  bool Converged() const { return has_ended_ && !restarts_.HasNext(); }
  const CmaDistribution& distribution() const { return *distribution_; }

  std::vector<double> Recommended() const {
    // An earlier run is only left behind for a better one.
    const bool earlier = best_mean_ && (!run_best_ || !IsBetter(*run_best_, *best_of_runs_));
    return InBox(earlier ? *best_mean_ : distribution_->mean());
  }

  CmaEsStatus Status() const {
    return {.restarts = restarts_.count(),
            .generation = generation_,
            .population_size = restarts_.current().population_size,
            .step_size = distribution_->step_size(),
            .condition_number = distribution_->ConditionNumber(),
            .mean_learning_rate = adaptation_ ? adaptation_->mean_rate() : 1,
            .covariance_learning_rate = adaptation_ ? adaptation_->covariance_rate() : 1};
  }

 private:
  int dimension() const { return static_cast<int>(search_.box().size()); }

  /// c_y of Hansen 2011, table 1: a step from elsewhere may be no longer, in Mahalanobis length.
  double LongestInjectedStep() const {
    const double n = dimension();
    return std::sqrt(n) + 2 * n / (n + 2);
  }

  std::vector<double> InBox(const VectorXd& unfolded) const {
    std::vector<double> unit(unfolded.begin(), unfolded.end());
    for (double& value : unit) value = ReflectIntoUnit(value);
    return search_.box().FromUnit(unit);
  }

  void Begin(VectorXd mean) {
    const CmaRun& run = restarts_.current();
    distribution_.emplace(std::move(mean), run.step_size,
                          MakeCmaParameters(dimension(), run.population_size, config_.active_weights));
    adaptation_.reset();
    if (config_.learning_rate_adaptation) adaptation_.emplace(dimension());
    stop_rule_.emplace(dimension(), run.population_size, config_.objective_tolerance,
                       config_.point_tolerance * run.step_size);
    generation_ = 0;
    num_results_ = 0;
    has_ended_ = false;
    run_best_.reset();
    members_.clear();
    ++num_distributions_;
  }

  void UpdateIfFull() {
    if (num_starts_left_ > 0) return;
    const auto size = static_cast<std::size_t>(restarts_.current().population_size);
    if (members_.size() < size) return;
    // More than a generation can wait only while start points are out; what came first counts.
    members_.resize(size);
    std::stable_sort(members_.begin(), members_.end(), [](const Member& a, const Member& b) {
      if (IsBetter(a.outcome, b.outcome)) return true;
      return !IsBetter(b.outcome, a.outcome) && a.id < b.id;
    });
    if (!members_.front().outcome.failed()) Learn();
    members_.clear();
    const bool is_used_up = num_results_ >= restarts_.current().max_results;
    has_ended_ =
        is_used_up || stop_rule_->ShouldStop(distribution_->Reach(), distribution_->ConditionNumber());
    if (has_ended_ && restarts_.HasNext()) Restart();
  }

  /// One update from the ranked members.
  void Learn() {
    const int size = distribution_->parameters().population_size;
    Eigen::MatrixXd steps(dimension(), size);
    std::vector<double> objectives;
    for (int i = 0; i < size; ++i) {
      const Member& member = members_[static_cast<std::size_t>(i)];
      steps.col(i) = member.step;
      if (!member.outcome.failed() && member.outcome.violation == 0)
        objectives.push_back(member.outcome.objectives[0]);
    }
    const Outcome& best = members_.front().outcome;
    if (!run_best_ || IsBetter(best, *run_best_)) run_best_ = best;
    distribution_->Update(steps, adaptation_ ? &*adaptation_ : nullptr);
    const CmaParameters& parameters = distribution_->parameters();
    if (!IsBetter(best, members_[static_cast<std::size_t>(std::max(1, size / 4))].outcome))
      distribution_->Widen(std::exp(0.2 + parameters.path_rate_step / parameters.damping));
    distribution_->LimitDeviations(kLargestDeviation);
    stop_rule_->Observe(objectives);
    ++generation_;
    ++num_distributions_;
  }

  void Restart() {
    if (run_best_ && (!best_of_runs_ || IsBetter(*run_best_, *best_of_runs_))) {
      best_of_runs_ = run_best_;
      best_mean_ = distribution_->mean();
    }
    restarts_.Next(num_results_);
    Random random(search_.options().seed, "evolve/cma-es/restart",
                  static_cast<std::uint64_t>(restarts_.count()));
    Begin(ToVector(search_.box().ToUnit(search_.box().RandomPoint(random))));
  }

  const CmaEs& search_;
  const CmaEsConfig config_;
  CmaRestarts restarts_;
  std::optional<CmaDistribution> distribution_;
  std::optional<LearningRateAdaptation> adaptation_;
  std::optional<CmaStopRule> stop_rule_;
  std::map<std::uint64_t, Sample> samples_;  // drawn and not told
  std::vector<Member> members_;              // of the next update
  std::size_t num_starts_left_ = 0;
  std::optional<Outcome> best_start_, run_best_, best_of_runs_;
  std::optional<VectorXd> best_mean_;  // of the run that saw best_of_runs_
  std::uint64_t num_samples_ = 0, num_results_ = 0;
  int generation_ = 0, num_distributions_ = 0;
  bool has_ended_ = false;
};

CmaEs::CmaEs(SearchOptions options, const CmaEsConfig& config) : SearchAlgorithm(std::move(options)) {
  ThrowIfOutOfRange("cma-es", Problems(config));
  runs_ = std::make_unique<Runs>(*this, config);
}

CmaEs::~CmaEs() = default;

int CmaEs::IndependentProposals() const { return runs_->NumLeftOfGeneration(); }

Proposal CmaEs::Propose(std::uint64_t id) { return runs_->Propose(id); }

void CmaEs::Learn(const Proposal& proposal, const Outcome& outcome) {
  if (IsStartPoint(proposal.id))
    runs_->LearnStart(proposal, outcome);
  else
    runs_->LearnSample(proposal, outcome);
}

std::vector<double> CmaEs::Recommended() const { return runs_->Recommended(); }
double CmaEs::SpreadLeft() const { return runs_->distribution().Deviations().maxCoeff(); }
bool CmaEs::Converged() const { return runs_->Converged(); }
CmaEsStatus CmaEs::status() const { return runs_->Status(); }

}  // namespace forge::evolve
