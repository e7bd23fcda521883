// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evolve/box.h"

namespace forge::evolve {

/// A point to evaluate.
struct Proposal {
  std::uint64_t id = 0;                // 0, 1, 2, ..: the number of the Ask
  std::vector<double> point;           // in the box
  std::string origin;                  // "start", "random", "sample", "child", ..
  std::vector<std::uint64_t> parents;  // ids of what it was made from; empty where a distribution made it
};

/// What an evaluation gave.
struct Outcome {
  /// Higher is better. Empty, or any value not finite: the evaluation failed, which ranks below all others.
  /// Algorithms for one objective look at the first.
  std::vector<double> objectives;
  /// How far the point is from being allowed (sum of the shortfalls, such as of a domain below its minimum);
  /// 0: allowed. Allowed points are better than others, and of two others the smaller violation is better
  /// (constrained domination, Deb et al. 2002, definition 1).
  double violation = 0;
  /// Standard error of the first objective, if it was measured with noise; 0: unknown or none.
  double standard_error = 0;
  /// Behaviour, for map-elites.
  std::vector<double> descriptors;

  bool failed() const;
};

/// The outcome of an evaluation that broke off.
inline Outcome Failure() { return {}; }

/// Whether `a` is the better result for an algorithm with one objective: not failed, then smaller violation,
/// then higher first objective. Neither is better than the other when they are equal.
bool IsBetter(const Outcome& a, const Outcome& b);

struct Evaluated {
  Proposal proposal;
  Outcome outcome;
};

constexpr double kUniformDeviation = 0.28867513459481287;  // of U(0, 1): sqrt(1 / 12)

/// Standard deviation of the points, as a share of the box's width, in the dimension where it is largest; of
/// fewer than two: kUniformDeviation, since nothing is known yet.
double LargestDeviation(const Box& box, const std::vector<const Evaluated*>& results);

/// Throws Error that lists the problems of an algorithm's config, if there are any.
void ThrowIfOutOfRange(std::string_view algorithm, const std::vector<std::string>& problems);

struct SearchOptions {
  Box box;
  /// Proposed first, in this order. The first also is where a search with one centre begins.
  std::vector<std::vector<double>> start_points;
  std::uint64_t seed = 1;
};

/// A search that is asked for points and told results. There is no barrier: Ask may be called any number of
/// times before results come, and results may come in any order.
///
/// Resume: all state is a function of options and of the sequence of Ask and Tell calls, so a journal of
/// those calls, played again, gives the same proposals, bit by bit on the same kind of processor and C
/// library. No other state is kept anywhere. Not for use from several threads at once.
class SearchAlgorithm {
 public:
  virtual ~SearchAlgorithm() = default;
  SearchAlgorithm(const SearchAlgorithm&) = delete;
  SearchAlgorithm& operator=(const SearchAlgorithm&) = delete;

  Proposal Ask();
  /// The result of proposal `id`, once. Throws Error if `id` was never asked or has been told already, if the
  /// number of objectives is another than before, or if a violation or a standard error is negative.
  void Tell(std::uint64_t id, const Outcome& outcome);

  /// Where the search says the optimum is: the best point seen, or the mean of the distribution where there
  /// is one (which with noise is better than the best seen). Need not have been evaluated.
  virtual std::vector<double> Recommended() const;
  /// How many more times Ask can be called whose proposals are the same whatever the results still
  /// outstanding turn out to be. A caller that asks only so many ahead, and tells in the order of asking,
  /// gets the same search with one evaluator or many.
  int IndependentAsks() const;
  /// Standard deviation of what is proposed now, as a share of the box's width, of the dimension where it is
  /// largest; kUniformDeviation is uniform over the box.
  virtual double SpreadLeft() const = 0;
  /// Whether further proposals would be of no use. Ask goes on working.
  virtual bool Converged() const { return false; }

  /// Best result by IsBetter, the first objective less its standard error; the first of equals.
  const std::optional<Evaluated>& best_seen() const { return best_seen_; }
  const SearchOptions& options() const { return options_; }
  std::uint64_t num_asked() const { return num_asked_; }
  std::uint64_t num_told() const { return num_told_; }
  /// Ids asked and not told, ascending.
  std::vector<std::uint64_t> Outstanding() const;

 protected:
  /// Throws Error if the box or a start point cannot be used.
  explicit SearchAlgorithm(SearchOptions options);

  /// Point, origin and parents of proposal `id`; only called after all start points have been asked.
  virtual Proposal Propose(std::uint64_t id) = 0;
  /// IndependentAsks once all start points have been asked.
  virtual int IndependentProposals() const { return num_told_ == num_asked_ ? 1 : 0; }
  /// Called once for each told proposal, start points included. A failed outcome has no objectives.
  virtual void Learn(const Proposal& proposal, const Outcome& outcome) = 0;

  const Box& box() const { return options_.box; }
  bool IsStartPoint(std::uint64_t id) const { return id < options_.start_points.size(); }

 private:
  SearchOptions options_;
  std::map<std::uint64_t, Proposal> outstanding_;
  std::optional<Evaluated> best_seen_;
  std::size_t num_objectives_ = 0;  // 0 until the first success
  std::uint64_t num_asked_ = 0, num_told_ = 0;
};

}  // namespace forge::evolve
