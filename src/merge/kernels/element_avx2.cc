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

// For the functions of this file only: set for the whole file, it would reach inline functions of headers.
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2")
#endif

namespace forge::merge {
namespace {

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are not passed out of this file
#define FORGE_VECTOR_BYTES 32
#include "merge/kernels/element_kernels.inc"

}  // namespace

const ElementKernels& Avx2ElementKernels() { return kKernels; }

}  // namespace forge::merge

#if defined(__x86_64__)
#pragma GCC pop_options
#endif
