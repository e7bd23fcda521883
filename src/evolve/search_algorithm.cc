// SPDX-License-Identifier: Apache-2.0
#include "evolve/search_algorithm.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace forge::evolve {
namespace {

/// For the choice of a champion: a lucky score measured on few items must not beat a sure one.
Outcome Cautious(Outcome outcome) {
  if (!outcome.failed()) outcome.objectives[0] -= outcome.standard_error;
  return outcome;
}

void CheckOutcome(std::uint64_t id, const Outcome& outcome, std::size_t num_objectives) {
  std::string why;
  if (!(outcome.violation >= 0))
    why = fmt::format("its violation is {}; it must be 0 or more", outcome.violation);
  else if (!(outcome.standard_error >= 0))
    why = fmt::format("its standard error is {}; it must be 0 or more", outcome.standard_error);
  else if (!outcome.failed() && num_objectives != 0 && outcome.objectives.size() != num_objectives)
    why = fmt::format("it has {} objectives; results before it have {}", outcome.objectives.size(),
                      num_objectives);
  else
    return;
  throw Error({.what = fmt::format("cannot use the result of proposal {}", id),
               .why = why,
               .fix = "give a result that failed no objectives, and all others the same number"});
}

}  // namespace

bool Outcome::failed() const {
  return objectives.empty() || !std::all_of(objectives.begin(), objectives.end(),
                                            [](double value) { return std::isfinite(value); });
}

bool IsBetter(const Outcome& a, const Outcome& b) {
  if (a.failed() || b.failed()) return !a.failed() && b.failed();
  if (a.violation != b.violation) return a.violation < b.violation;
  return a.objectives[0] > b.objectives[0];
}

SearchAlgorithm::SearchAlgorithm(SearchOptions options) : options_(std::move(options)) {
  box().Check();
  for (std::size_t i = 0; i < options_.start_points.size(); ++i)
    box().CheckPoint(options_.start_points[i], fmt::format("start point {}", i));
}

Proposal SearchAlgorithm::Ask() {
  const std::uint64_t id = num_asked_++;
  Proposal proposal =
      IsStartPoint(id) ? Proposal{.point = options_.start_points[id], .origin = "start"} : Propose(id);
  proposal.id = id;
  outstanding_.emplace(id, proposal);
  return proposal;
}

int SearchAlgorithm::IndependentAsks() const {
  const std::size_t starts = options_.start_points.size();
  return num_asked_ < starts ? static_cast<int>(starts - num_asked_) : IndependentProposals();
}

void SearchAlgorithm::Tell(std::uint64_t id, const Outcome& outcome) {
  const auto found = outstanding_.find(id);
  if (found == outstanding_.end())
    throw Error({.what = fmt::format("cannot use the result of proposal {}", id),
                 .why = id < num_asked_ ? "it has been told already" : "it was never asked for",
                 .fix = "tell each proposal once; replay the journal from its beginning"});
  CheckOutcome(id, outcome, num_objectives_);
  Outcome result = outcome;
  if (result.failed()) result.objectives.clear();
  Learn(found->second, result);  // first: it may throw, and then nothing has been told
  if (!result.failed()) {
    num_objectives_ = result.objectives.size();
    if (!best_seen_ || IsBetter(Cautious(result), Cautious(best_seen_->outcome)))
      best_seen_ = Evaluated{std::move(found->second), std::move(result)};
  }
  outstanding_.erase(found);
  ++num_told_;
}

std::vector<double> SearchAlgorithm::Recommended() const {
  if (best_seen_) return best_seen_->proposal.point;
  if (!options_.start_points.empty()) return options_.start_points[0];
  return box().FromUnit(std::vector<double>(box().size(), 0.5));
}

double LargestDeviation(const Box& box, const std::vector<const Evaluated*>& results) {
  if (results.size() < 2) return kUniformDeviation;
  const auto count = static_cast<double>(results.size());
  std::vector<double> sum(box.size()), square(box.size());
  for (const Evaluated* result : results) {
    const std::vector<double> unit = box.ToUnit(result->proposal.point);
    for (std::size_t i = 0; i < unit.size(); ++i) {
      sum[i] += unit[i];
      square[i] += unit[i] * unit[i];
    }
  }
  double largest = 0;
  for (std::size_t i = 0; i < sum.size(); ++i)
    largest = std::max(largest, square[i] / count - sum[i] * sum[i] / (count * count));
  return std::sqrt(largest);
}

void ThrowIfOutOfRange(std::string_view algorithm, const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  throw Error({.kind = ErrorKind::kUsage,
               .what = fmt::format("cannot search with {}", algorithm),
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "choose values in these ranges"});
}

std::vector<std::uint64_t> SearchAlgorithm::Outstanding() const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, proposal] : outstanding_) ids.push_back(id);
  return ids;
}

}  // namespace forge::evolve
