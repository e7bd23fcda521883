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
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi,bmi2,prefer-vector-width=512")
#endif

namespace forge::merge {
namespace {

#pragma GCC diagnostic ignored "-Wpsabi"                // vectors are not passed out of this file
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 in its own _mm512_undefined_epi32
#pragma GCC diagnostic ignored "-Wuninitialized"        // the same
#define FORGE_VECTOR_BYTES 64
#include "merge/kernels/element_kernels.inc"

}  // namespace

const ElementKernels& Avx512ElementKernels() { return kKernels; }

}  // namespace forge::merge

#if defined(__x86_64__)
#pragma GCC pop_options
#endif
