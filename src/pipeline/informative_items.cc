// SPDX-License-Identifier: Apache-2.0
#include "pipeline/informative_items.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evolve/ability.h"

namespace forge::pipeline {
namespace {

std::vector<int> Order(const std::vector<std::vector<double>>& answers) {
  const evolve::AbilityFit fit = evolve::FitAbilityItems(answers);
  double best = fit.anchors.front().ability;
  for (const evolve::AbilityEstimate& anchor : fit.anchors) best = std::max(best, anchor.ability);
  std::vector<double> information;
  for (const evolve::AbilityItem& item : fit.items)
    information.push_back(evolve::ItemInformation(item, best));
  std::vector<int> order(information.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return information[static_cast<std::size_t>(a)] > information[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace

std::vector<std::vector<int>> ItemsByInformation(const std::vector<Scores>& anchors,
                                                 const std::vector<bool>& are_logarithms) {
  std::vector<std::vector<int>> orders;
  for (std::size_t d = 0; d < are_logarithms.size(); ++d) {
    std::vector<std::vector<double>> answers;
    for (const Scores& anchor : anchors) {
      answers.push_back(anchor[d]);
      if (!are_logarithms[d]) continue;
      for (double& answer : answers.back()) answer = std::min(1.0, std::exp(answer));
    }
    orders.push_back(Order(answers));
  }
  return orders;
}

}  // namespace forge::pipeline
