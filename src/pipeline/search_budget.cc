// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_budget.h"

#include <fmt/format.h>

namespace forge::pipeline {

bool SearchBudget::HasEnded(const std::string& part, int made, std::int64_t tokens, double share) {
  if (config_.max_minutes == 0 && config_.max_tokens == 0) return false;
  const RunContext& context = candidates_.context();
  const std::string key = "budget of " + part;
  if (const auto kept = context.store->GetUnit(context.run, kEvolveStage, key))
    return made >= kept->at("made").get<int>();
  const std::string used_up = WhatIsUsedUp(tokens, share);
  if (used_up.empty()) return false;
  context.store->PutUnit(context.run, kEvolveStage, key, {{"made", made}});
  candidates_.sink().Log(fmt::format("{}: {} used up after {} proposals", part, used_up, made));
  return true;
}

std::string SearchBudget::WhatIsUsedUp(std::int64_t tokens, double share) const {
  const RunContext& context = candidates_.context();
  const double seconds = context.store->FindStage(context.run, kEvolveStage)->seconds;
  if (config_.max_minutes > 0 && seconds >= 60 * config_.max_minutes * share)
    return fmt::format("{:.3g} minutes are", config_.max_minutes * share);
  if (config_.max_tokens > 0 && static_cast<double>(tokens) >= config_.max_tokens * share)
    return fmt::format("{:.0f} tokens are", config_.max_tokens * share);
  return {};
}

}  // namespace forge::pipeline
