// SPDX-License-Identifier: Apache-2.0
#include "compress/divergence.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::compress {
namespace {

struct Position {
  double divergence;
  bool same_best, best_in_five;
};

Position Compare(std::span<const float> p, std::span<const float> q) {
  const auto best = static_cast<std::size_t>(std::max_element(q.begin(), q.end()) - q.begin());
  std::size_t above = 0;  // tokens that p likes more than q's favourite
  for (const float logit : p) above += logit > p[best];
  return {KullbackLeibler(p, q), above == 0, above < 5};
}

}  // namespace

double KullbackLeibler(std::span<const float> p, std::span<const float> q) {
  const runtime::KernelTable& kernels = runtime::Kernels();
  const double p_sum = kernels.log_sum_exp(p.data(), p.size()),
               q_sum = kernels.log_sum_exp(q.data(), q.size());
  double divergence = 0;
  for (std::size_t v = 0; v < p.size(); ++v) {
    const double log_p = double{p[v]} - p_sum;
    divergence += std::exp(log_p) * (log_p - (double{q[v]} - q_sum));
  }
  return std::max(divergence, 0.0);
}

Divergence MeasureDivergence(model::LanguageModel& original, model::LanguageModel& changed,
                             std::span<const std::vector<int>> texts, const StopToken& stop) {
  const auto vocabulary = static_cast<std::size_t>(original.config().vocab_size);
  std::vector<double> divergences;
  Divergence result;
  for (const std::vector<int>& text : texts) {
    stop.ThrowIfRequested("the divergence");
    const std::vector<float> p = original.Logits(text), q = changed.Logits(text);
    std::vector<Position> positions(text.size());
    ParallelFor(text.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t)
        positions[t] = Compare(std::span(p).subspan(t * vocabulary, vocabulary),
                               std::span(q).subspan(t * vocabulary, vocabulary));
    });
    for (const Position& position : positions) {
      divergences.push_back(position.divergence);
      result.mean += position.divergence;
      result.top1 += position.same_best;
      result.top5 += position.best_in_five;
    }
  }
  if (divergences.empty()) return result;
  const auto count = static_cast<double>(divergences.size());
  result.positions = static_cast<std::int64_t>(divergences.size());
  result.mean /= count;
  result.top1 /= count;
  result.top5 /= count;
  const auto place = divergences.begin() + static_cast<std::ptrdiff_t>(0.95 * (count - 1));
  std::nth_element(divergences.begin(), place, divergences.end());
  result.p95 = *place;
  return result;
}

double DistinctTriples(model::LanguageModel& model, std::span<const std::vector<int>> texts, int tokens) {
  std::vector<model::GenerateRequest> requests;
  for (const std::vector<int>& text : texts) {
    const auto half = static_cast<std::ptrdiff_t>((text.size() + 1) / 2);
    requests.push_back({std::vector<int>(text.begin(), text.begin() + half), 0});
  }
  std::set<std::array<int, 3>> different;
  std::size_t all = 0;
  for (const model::Generation& generation : model.Generate(requests, {.max_new_tokens = tokens}))
    for (std::size_t i = 2; i < generation.tokens.size(); ++i, ++all)
      different.insert({generation.tokens[i - 2], generation.tokens[i - 1], generation.tokens[i]});
  return all == 0 ? 1 : static_cast<double>(different.size()) / static_cast<double>(all);
}

}  // namespace forge::compress
