// SPDX-License-Identifier: Apache-2.0
#include "evolve/ability.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace forge::evolve {
namespace {

constexpr double kLogDiscriminationDeviation = 0.3, kDifficultyDeviation = 1;

/// ln P of an answer; for shares, the mean over its parts.
double LogLikelihood(const AbilityItem& item, double ability, double answer) {
  const double logit = item.discrimination * (ability - item.difficulty);
  // ln P = -ln(1 + exp(-logit)), ln(1 - P) = ln P - logit
  return -(std::max(0.0, -logit) + std::log1p(std::exp(-std::abs(logit)))) - (1 - answer) * logit;
}

/// Posterior of one item (up to a constant) at u = ln discrimination, b = difficulty.
double ItemPosterior(double u, double b, std::span<const double> abilities, std::span<const double> answers) {
  double sum = -0.5 * (std::pow(u / kLogDiscriminationDeviation, 2) + std::pow(b / kDifficultyDeviation, 2));
  for (std::size_t i = 0; i < answers.size(); ++i)
    if (!std::isnan(answers[i])) sum += LogLikelihood({std::exp(u), b}, abilities[i], answers[i]);
  return sum;
}

/// One scoring step (expected information, always positive definite with the priors), halved until the
/// posterior rises.
void ImproveItem(AbilityItem& item, std::span<const double> abilities, std::span<const double> answers) {
  const double u = std::log(item.discrimination), b = item.difficulty, a = item.discrimination;
  const double prior_u = 1 / (kLogDiscriminationDeviation * kLogDiscriminationDeviation);
  const double prior_b = 1 / (kDifficultyDeviation * kDifficultyDeviation);
  double gradient_u = -u * prior_u, gradient_b = -b * prior_b, uu = prior_u, ub = 0, bb = prior_b;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (std::isnan(answers[i])) continue;
    const double p = AnswerProbability(item, abilities[i]), weight = p * (1 - p);
    const double by_u = a * (abilities[i] - b), by_b = -a;  // of the logit
    gradient_u += (answers[i] - p) * by_u;
    gradient_b += (answers[i] - p) * by_b;
    uu += weight * by_u * by_u;
    ub += weight * by_u * by_b;
    bb += weight * by_b * by_b;
  }
  const double determinant = uu * bb - ub * ub;
  const double step_u = (bb * gradient_u - ub * gradient_b) / determinant;
  const double step_b = (uu * gradient_b - ub * gradient_u) / determinant;
  const double before = ItemPosterior(u, b, abilities, answers);
  for (double share = 1; share > 1e-6; share /= 2)
    if (ItemPosterior(u + share * step_u, b + share * step_b, abilities, answers) > before) {
      item = {std::exp(u + share * step_u), b + share * step_b};
      return;
    }
}

void CheckAnswers(const std::vector<std::vector<double>>& answers) {
  for (std::size_t i = 0; i < answers.size(); ++i) {
    std::string why;
    if (answers[i].size() != answers[0].size())
      why =
          fmt::format("anchor {} has {} answers; the first has {}", i, answers[i].size(), answers[0].size());
    for (const double answer : answers[i])
      if (answer < 0 || answer > 1) why = fmt::format("anchor {} has the answer {}", i, answer);
    if (!why.empty())
      throw Error(
          {.what = "cannot fit items to these answers",
           .why = why,
           .fix = "give one answer from 0 to 1 for each anchor and item; not a number where not asked"});
  }
}

}  // namespace

double AnswerProbability(const AbilityItem& item, double ability) {
  return 1 / (1 + std::exp(-item.discrimination * (ability - item.difficulty)));
}

double ItemInformation(const AbilityItem& item, double ability) {
  const double p = AnswerProbability(item, ability);
  return item.discrimination * item.discrimination * p * (1 - p);
}

AbilityEstimate EstimateAbility(std::span<const AbilityItem> items, std::span<const double> answers,
                                const AbilityPrior& prior) {
  FORGE_CHECK(items.size() == answers.size() && prior.deviation > 0);
  const double precision = 1 / (prior.deviation * prior.deviation);
  double ability = prior.mean, information = precision;
  const auto posterior = [&](double at) {
    double sum = -0.5 * precision * (at - prior.mean) * (at - prior.mean);
    for (std::size_t i = 0; i < items.size(); ++i)
      if (!std::isnan(answers[i])) sum += LogLikelihood(items[i], at, answers[i]);
    return sum;
  };
  for (int round = 0; round < 100; ++round) {
    double gradient = -precision * (ability - prior.mean);
    information = precision;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (std::isnan(answers[i])) continue;
      gradient += items[i].discrimination * (answers[i] - AnswerProbability(items[i], ability));
      information += ItemInformation(items[i], ability);
    }
    double step = gradient / information;
    if (std::abs(step) < 1e-10) break;
    const double before = posterior(ability);
    while (std::abs(step) > 1e-10 && !(posterior(ability + step) >= before)) step /= 2;
    ability += step;
  }
  return {ability, 1 / std::sqrt(information)};
}

double ExpectedScore(std::span<const AbilityItem> items, double ability) {
  FORGE_CHECK(!items.empty());
  double sum = 0;
  for (const AbilityItem& item : items) sum += AnswerProbability(item, ability);
  return sum / static_cast<double>(items.size());
}

AbilityFit FitAbilityItems(const std::vector<std::vector<double>>& answers) {
  CheckAnswers(answers);
  AbilityFit fit;
  fit.items.resize(answers.empty() ? 0 : answers[0].size());
  std::vector<double> abilities(answers.size()), of_item(answers.size());
  for (int round = 0; round < 50; ++round) {
    fit.anchors.clear();
    double moved = 0;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      fit.anchors.push_back(EstimateAbility(fit.items, answers[i]));
      moved = std::max(moved, std::abs(fit.anchors[i].ability - abilities[i]));
      abilities[i] = fit.anchors[i].ability;
    }
    if (round > 0 && moved < 1e-6) break;
    for (std::size_t k = 0; k < fit.items.size(); ++k) {
      for (std::size_t i = 0; i < answers.size(); ++i) of_item[i] = answers[i][k];
      ImproveItem(fit.items[k], abilities, of_item);
    }
  }
  return fit;
}

}  // namespace forge::evolve
