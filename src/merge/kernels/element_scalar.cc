// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "merge/kernels/element_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace forge::merge {
namespace {

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are not passed out of this file
#define FORGE_VECTOR_BYTES 16
#include "merge/kernels/element_kernels.inc"

}  // namespace

const ElementKernels& ScalarElementKernels() { return kKernels; }

}  // namespace forge::merge
