// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "merge/kernels/element_kernels.h"

namespace forge::merge {
namespace {

#include "merge/kernels/element_kernels.inc"

}  // namespace

const ElementKernels& ScalarElementKernels() { return kKernels; }

}  // namespace forge::merge
