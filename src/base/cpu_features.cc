// SPDX-License-Identifier: Apache-2.0
#include "base/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "base/check.h"
#include "base/error.h"

namespace forge {
namespace {

std::atomic<int> target_for_test{-1};

#if defined(__x86_64__)
/// Clang 14's __builtin_cpu_supports does not know f16c: leaf 1, bit 29 of ecx. (AVX2 says that the registers
/// are there.)
bool HasF16c() {
  unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 29 & 1) != 0;
}
#endif

bool Supports(CpuTarget target) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (target) {
    case CpuTarget::kScalar:
      return true;
    case CpuTarget::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2") && HasF16c();
    case CpuTarget::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  }
#endif
  return target == CpuTarget::kScalar;
}

CpuTarget Choose() {
  const std::vector<CpuTarget> supported = SupportedTargets();
  const char* forced = std::getenv("FORGE_FORCE_TARGET");
  if (forced == nullptr || *forced == 0) return supported.back();
  for (const CpuTarget target : {CpuTarget::kScalar, CpuTarget::kAvx2, CpuTarget::kAvx512}) {
    if (Name(target) != forced) continue;
    if (Supports(target)) return target;
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = std::string("this processor cannot run the kernels of target ") + forced,
                 .why = "FORGE_FORCE_TARGET asks for them",
                 .fix = "unset FORGE_FORCE_TARGET, or set it to " + std::string(Name(supported.back()))});
  }
  throw Error({.kind = ErrorKind::kUsage,
               .what = std::string("unknown kernel target ") + forced,
               .why = "FORGE_FORCE_TARGET must be scalar, avx2 or avx512",
               .fix = "unset FORGE_FORCE_TARGET"});
}

}  // namespace

std::string_view Name(CpuTarget target) {
  switch (target) {
    case CpuTarget::kScalar:
      return "scalar";
    case CpuTarget::kAvx2:
      return "avx2";
    case CpuTarget::kAvx512:
      return "avx512";
  }
  return "?";
}

std::vector<CpuTarget> SupportedTargets() {
  std::vector<CpuTarget> targets;
  for (const CpuTarget target : {CpuTarget::kScalar, CpuTarget::kAvx2, CpuTarget::kAvx512})
    if (Supports(target)) targets.push_back(target);
  return targets;
}

CpuTarget ChosenTarget() {
  if (const int test = target_for_test.load(); test >= 0) return static_cast<CpuTarget>(test);
  static const CpuTarget chosen = Choose();
  return chosen;
}

void SetTargetForTest(CpuTarget target) {
  FORGE_CHECK(Supports(target));
  target_for_test = static_cast<int>(target);
}

std::vector<std::string> CpuFeatureNames() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  __builtin_cpu_init();
#define FORGE_FEATURE(name) \
  if (__builtin_cpu_supports(name)) names.emplace_back(name)
  FORGE_FEATURE("sse4.2");
  FORGE_FEATURE("avx");
  FORGE_FEATURE("avx2");
  FORGE_FEATURE("fma");
  FORGE_FEATURE("bmi2");
  if (HasF16c()) names.emplace_back("f16c");
  FORGE_FEATURE("avx512f");
  FORGE_FEATURE("avx512bw");
  FORGE_FEATURE("avx512vl");
  FORGE_FEATURE("avx512vnni");
  FORGE_FEATURE("avx512bf16");
#undef FORGE_FEATURE
#endif
  return names;
}

}  // namespace forge
