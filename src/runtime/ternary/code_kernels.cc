// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/code_kernels.h"

#include "base/cpu_features.h"

namespace forge::runtime {

const CodeKernels& ChosenCodeKernels() {
#if defined(__x86_64__)
  switch (ChosenTarget()) {
    case CpuTarget::kAvx512:
      return Avx512CodeKernels();
    case CpuTarget::kAvx2:
      return Avx2CodeKernels();
    case CpuTarget::kScalar:
      break;
  }
#endif
  return ScalarCodeKernels();
}

bool HasFastBase3() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return ChosenTarget() == CpuTarget::kAvx512 && __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
}

}  // namespace forge::runtime
