// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forge {

/// Kernel families, from the slowest. A kernel that has no version for a target uses the next lower one.
enum class CpuTarget { kScalar = 0, kAvx2 = 1, kAvx512 = 2 };

std::string_view Name(CpuTarget target);
/// What this processor and its operating system can run; kScalar is always among them.
std::vector<CpuTarget> SupportedTargets();
/// The target in use: the best supported one, or FORGE_FORCE_TARGET=scalar|avx2|avx512.
/// Throws Error(kUsage) for an unknown name, Error(kEnvironment) for one this processor lacks.
CpuTarget ChosenTarget();
/// For tests: overrides ChosenTarget until called again. The target must be supported.
void SetTargetForTest(CpuTarget target);
/// Names of the features that matter here, as the processor reports them ("avx2", "fma", "avx512vnni", ...).
std::vector<std::string> CpuFeatureNames();

}  // namespace forge
