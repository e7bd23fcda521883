// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace forge::pipeline {

/// One-sided p that the mean over domains of (ours - parent) is above 0, paired by item: normal approximation
/// with the variance of the differences within each domain, and never below 2^-n for n items.
///   parent, ours  [domains][items]: scores of the same items, at least one a domain
double GainPValue(const std::vector<std::vector<double>>& parent,
                  const std::vector<std::vector<double>>& ours);

/// Whether the best of `compared` candidates is better than the best parent, on the items that chose it:
/// GainPValue below 0.025 / compared (Bonferroni), since the largest of many equal scores is above any of
/// them by luck.
bool IsGain(const std::vector<std::vector<double>>& parent, const std::vector<std::vector<double>>& ours,
            int compared);

}  // namespace forge::pipeline
