// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

CpuTarget KernelTarget() { return ChosenTarget(); }

const KernelTable& Kernels() {
#if defined(__x86_64__)
  if (KernelTarget() == CpuTarget::kAvx512) return Avx512Kernels();
  if (KernelTarget() == CpuTarget::kAvx2) return Avx2Kernels();
#endif
  return ScalarKernels();
}

}  // namespace forge::runtime
