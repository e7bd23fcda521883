// SPDX-License-Identifier: Apache-2.0
#include "runtime/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

namespace forge::runtime {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A value that the compiler has to compute.
template <class Value>
void Keep(const Value& value) {
  asm volatile("" : : "m"(value) : "memory");
}

std::uint64_t Sum(const std::uint64_t* words, std::size_t count) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + 8 <= count; i += 8)
    for (std::size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum += part;
  return sum;
}

constexpr int kSteps = 500'000;

#if defined(__x86_64__)
// Chains of multiply-adds that hide each other's latency, and nothing else.
__attribute__((target("avx2,fma"))) double Avx2Operations() {
  __m256 sums[12];
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  __m256 factor = _mm256_set1_ps(0.5f);
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) sums[j] = _mm256_fmadd_ps(factor, factor, sums[j]);
    asm volatile("" : "+x"(factor));  // or the compiler would multiply once
  }
  for (auto& sum : sums) Keep(sum);
  return 12.0 * 16 * kSteps;
}

__attribute__((target("avx512f"))) double Avx512Operations() {
  __m512 sums[24];
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  __m512 factor = _mm512_set1_ps(0.5f);
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < 24; ++j) sums[j] = _mm512_fmadd_ps(factor, factor, sums[j]);
    asm volatile("" : "+v"(factor));
  }
  for (auto& sum : sums) Keep(sum);
  return 24.0 * 32 * kSteps;
}
#endif

}  // namespace

double MeasureReadBandwidth() {
  const std::vector<std::uint64_t> memory((512u << 20) / 8, 1);
  const auto threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  double best = 0;
  for (int pass = 0; pass < 4; ++pass) {
    const double start = Now();
    ThreadPool::Global().Run(threads, [&](std::size_t i) {
      const std::size_t first = memory.size() * i / threads, last = memory.size() * (i + 1) / threads;
      Keep(Sum(memory.data() + first, last - first));
    });
    best = std::max(best, static_cast<double>(memory.size() * 8) / (Now() - start));
  }
  return best;
}

double MeasureFloatPeak() {
#if defined(__x86_64__)
  const auto operations = KernelTarget() == CpuTarget::kAvx512 ? Avx512Operations : Avx2Operations;
  if (KernelTarget() == CpuTarget::kScalar) return 0;
  const auto threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  std::vector<double> rates(threads);  // each thread times itself: a thread that starts late does not count
  ThreadPool::Global().Run(threads, [&](std::size_t i) {
    const double start = Now();
    const double done = operations();
    rates[i] = done / (Now() - start);
  });
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
#else
  return 0;
#endif
}

}  // namespace forge::runtime
