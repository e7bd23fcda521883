// SPDX-License-Identifier: Apache-2.0
#include "compress/retention.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace forge::compress {
namespace {

std::optional<double> Ratio(double before, double after) {
  if (before == 0) return std::nullopt;
  if (before > 0) return after / before;
  if (after == 0) return std::nullopt;
  return before / after;
}

/// Sums over drawn items; retention of their means.
struct Totals {
  double before = 0, after = 0;
};

void AddTests(const std::vector<double>& before, const std::vector<double>& after, DomainRetention& domain) {
  const auto is_right = [](double score) { return score == 0 || score == 1; };
  if (!std::all_of(before.begin(), before.end(), is_right) ||
      !std::all_of(after.begin(), after.end(), is_right))
    return;
  const std::vector<bool> first(before.begin(), before.end()), second(after.begin(), after.end());
  const auto wilson = [&](const std::vector<bool>& right) {
    return eval::WilsonInterval(static_cast<int>(std::count(right.begin(), right.end(), true)), domain.items);
  };
  domain.before_interval = wilson(first);
  domain.after_interval = wilson(second);
  domain.p = eval::McNemarMidP(eval::CountPairs(first, second));
}

}  // namespace

double Retention::worst() const {
  double worst = domains.empty() ? 0 : domains.front().retention;
  for (const DomainRetention& domain : domains) worst = std::min(worst, domain.retention);
  return worst;
}

Retention CompareScores(const Scores& before, const Scores& after, const std::vector<std::string>& names,
                        std::uint64_t seed, const std::vector<double>& chance) {
  FORGE_CHECK(before.size() == after.size() && (chance.empty() || chance.size() == before.size()));
  Retention result;
  std::vector<std::pair<std::size_t, std::size_t>> items;  // (domain, item) of all domains
  for (std::size_t d = 0; d < before.size(); ++d) {
    FORGE_CHECK(before[d].size() == after[d].size() && !before[d].empty());
    const auto ratio_of = [&](const auto& indices) {
      Totals totals;
      for (const auto i : indices) {
        totals.before += before[d][static_cast<std::size_t>(i)];
        totals.after += after[d][static_cast<std::size_t>(i)];
      }
      return std::pair(totals, Ratio(totals.before, totals.after));
    };
    std::vector<int> all;
    for (std::size_t i = 0; i < before[d].size(); ++i) {
      all.push_back(static_cast<int>(i));
      items.emplace_back(d, i);
    }
    const auto [totals, ratio] = ratio_of(all);
    const double n = static_cast<double>(all.size());
    result.domains.push_back(
        {.domain = d < names.size() ? names[d] : fmt::format("domain {}", d + 1),
         .items = static_cast<int>(all.size()),
         .before = totals.before / n,
         .after = totals.after / n,
         .retention = ratio.value_or(0),
         .interval = eval::Bootstrap(static_cast<int>(all.size()), seed,
                                     [&](std::span<const int> drawn) { return ratio_of(drawn).second; })});
    DomainRetention& domain = result.domains.back();
    if (!chance.empty() && domain.before > chance[d])
      domain.corrected = (domain.after - chance[d]) / (domain.before - chance[d]);
    AddTests(before[d], after[d], domain);
    result.mean += domain.retention / static_cast<double>(before.size());
  }
  if (items.empty()) return result;
  // Items are drawn from all domains together; a domain's share varies, its ratio does not depend on it.
  result.interval = eval::Bootstrap(
      static_cast<int>(items.size()), seed, [&](std::span<const int> drawn) -> std::optional<double> {
        std::vector<Totals> totals(before.size());
        for (const int index : drawn) {
          const auto [d, i] = items[static_cast<std::size_t>(index)];
          totals[d].before += before[d][i];
          totals[d].after += after[d][i];
        }
        double mean = 0;
        for (const Totals& domain : totals) {
          const std::optional<double> ratio = Ratio(domain.before, domain.after);
          if (!ratio) return std::nullopt;
          mean += *ratio / static_cast<double>(totals.size());
        }
        return mean;
      });
  return result;
}

}  // namespace forge::compress
