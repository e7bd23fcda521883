// SPDX-License-Identifier: Apache-2.0
#include "merge/kernels/element_kernels.h"

#include "base/cpu_features.h"

namespace forge::merge {

const ElementKernels& Elements() {
  switch (ChosenTarget()) {
    case CpuTarget::kAvx512:
      return Avx512ElementKernels();
    case CpuTarget::kAvx2:
      return Avx2ElementKernels();
    default:
      return ScalarElementKernels();
  }
}

}  // namespace forge::merge
