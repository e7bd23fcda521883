// SPDX-License-Identifier: Apache-2.0
#include "reason/reason_verdict.h"

#include <fmt/format.h>

#include <algorithm>

#include "eval/evaluator.h"

namespace forge::reason {
namespace {

double Accuracy(const std::vector<bool>& right) {
  return right.empty() ? 0
                       : static_cast<double>(std::count(right.begin(), right.end(), true)) /
                             static_cast<double>(right.size());
}

}  // namespace

ReasonVerdict JudgeThoughts(const ArmResults& r, const VerdictRules& rules) {
  ReasonVerdict verdict;
  verdict.thought_gain = Accuracy(r.a1) - Accuracy(r.a0);
  verdict.placebo_gain = std::max(Accuracy(r.a2), Accuracy(r.a3)) - Accuracy(r.a0);
  verdict.p_value = eval::McNemarMidP(eval::CountPairs(r.a0, r.a1));
  const auto beats = [&](const std::vector<bool>& placebo) {
    return Accuracy(r.a1) > Accuracy(placebo) &&
           eval::McNemarMidP(eval::CountPairs(placebo, r.a1)) < rules.significance;
  };
  if (verdict.thought_gain < rules.min_thought_gain)
    verdict.why = fmt::format("thoughts change accuracy by {:+.1f} points, less than {:+.1f}",
                              100 * verdict.thought_gain, 100 * rules.min_thought_gain);
  else if (verdict.p_value >= rules.significance)
    verdict.why = fmt::format("the gain by thoughts has p = {:.3g}, not below {:g}", verdict.p_value,
                              rules.significance);
  else if (!beats(r.a2))
    verdict.why = "filler tokens do as well as thoughts";
  else if (!beats(r.a3))
    verdict.why = "another item's thought does as well as the own one";
  return verdict;
}

ReasonVerdict Judge(const ArmResults& r, const VerdictRules& rules, std::uint64_t seed) {
  ReasonVerdict verdict = JudgeThoughts(r, rules);
  if (r.b0.empty()) return verdict;
  verdict.bake_p_value = eval::McNemarMidP(eval::CountPairs(r.c0, r.b0));
  const double gain = Accuracy(r.a1) - Accuracy(r.a0);
  if (gain > 0) {
    verdict.retention = (Accuracy(r.b0) - Accuracy(r.a0)) / gain;
    verdict.retention_interval = eval::Bootstrap(
        static_cast<int>(r.a0.size()), seed, [&](std::span<const int> drawn) -> std::optional<double> {
          double a0 = 0, a1 = 0, b0 = 0;
          for (const int index : drawn) {
            const auto i = static_cast<std::size_t>(index);
            a0 += r.a0[i];
            a1 += r.a1[i];
            b0 += r.b0[i];
          }
          return a1 > a0 ? std::optional((b0 - a0) / (a1 - a0)) : std::nullopt;
        });
  }
  if (!verdict.why.empty()) return verdict;
  if (Accuracy(r.b0) <= Accuracy(r.c0) || verdict.bake_p_value >= rules.significance) {
    verdict.why = fmt::format("baking ({:.3f}) does not beat the control training ({:.3f}), p = {:.3g}",
                              Accuracy(r.b0), Accuracy(r.c0), verdict.bake_p_value);
    return verdict;
  }
  for (const auto& [domain, scores] : r.guards) {
    const double loss = eval::Mean(scores.first) - eval::Mean(scores.second);
    if (loss <= rules.max_guard_loss + 1e-12) continue;
    verdict.why = fmt::format("the domain {} falls by {:.1f} points, more than {:.1f}", domain, 100 * loss,
                              100 * rules.max_guard_loss);
    return verdict;
  }
  verdict.baked = true;
  return verdict;
}

}  // namespace forge::reason
