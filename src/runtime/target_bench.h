// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/cpu_features.h"

namespace forge::runtime {

/// Runs the kernels of the target that range(0) names from here on; false, and the benchmark is skipped,
/// where this processor lacks them.
inline bool UseTarget(benchmark::State& state) {
  const auto target = static_cast<CpuTarget>(state.range(0));
  const std::vector<CpuTarget> supported = SupportedTargets();
  if (std::find(supported.begin(), supported.end(), target) == supported.end()) {
    state.SkipWithError("this processor lacks the target");
    return false;
  }
  SetTargetForTest(target);
  state.SetLabel(std::string(Name(target)));
  return true;
}

inline double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace forge::runtime
