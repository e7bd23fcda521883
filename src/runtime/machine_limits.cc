// SPDX-License-Identifier: Apache-2.0
#include "runtime/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/huge_memory.h"
#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"

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
  constexpr std::size_t kAhead = 1024 / sizeof(std::uint64_t);  // of the best distances, on two machines
  std::uint64_t sums[32] = {};
  for (std::size_t i = 0; i + 32 <= count; i += 32) {
    for (std::size_t line = 0; line < 32; line += 8) __builtin_prefetch(words + i + kAhead + line);
    for (std::size_t j = 0; j < 32; ++j) sums[j] += words[i + j];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum += part;
  return sum;
}

#if defined(__x86_64__)
// Chains of one instruction that hide each other's latency, and nothing else, written out: compilers keep
// such sums in memory, or move them from register to register, and then measure that. What the registers hold
// does not matter.
#define FORGE_12(step) \
  step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)
#define FORGE_24(step) \
  FORGE_12(step)       \
  step(12) step(13) step(14) step(15) step(16) step(17) step(18) step(19) step(20) step(21) step(22) step(23)

constexpr int kSteps = 500'000;  // some 3 to 6 ms

__attribute__((target("avx2,fma"))) double Avx2FloatOperations() {
#define FORGE_STEP(i) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #i "\n"
  for (int i = 0; i < kSteps; ++i)
    asm volatile(FORGE_12(FORGE_STEP)
                 :
                 :
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                   "xmm11");
#undef FORGE_STEP
  return 12.0 * 16 * kSteps;
}

__attribute__((target("avx2"))) double Avx2Int8Operations() {
  // Products of bytes, added in pairs to 16 bits, and a sum of those: what the kernels do in a block.
#define FORGE_STEP(i) "vpmaddubsw %%ymm15, %%ymm15, %%ymm14\nvpaddw %%ymm14, %%ymm" #i ", %%ymm" #i "\n"
  for (int i = 0; i < kSteps; ++i)
    asm volatile(FORGE_12(FORGE_STEP)
                 :
                 :
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                   "xmm11", "xmm14");
#undef FORGE_STEP
  return 12.0 * 64 * kSteps;
}

#define FORGE_CLOBBERS                                                                                       \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23"

__attribute__((target("avx512f"))) double Avx512FloatOperations() {
#define FORGE_STEP(i) "vfmadd231ps %%zmm31, %%zmm31, %%zmm" #i "\n"
  for (int i = 0; i < kSteps; ++i) asm volatile(FORGE_24(FORGE_STEP) : : : FORGE_CLOBBERS);
#undef FORGE_STEP
  return 24.0 * 32 * kSteps;
}

__attribute__((target("avx512f,avx512vnni"))) double Avx512Int8Operations() {
#define FORGE_STEP(i) "vpdpbusd %%zmm31, %%zmm31, %%zmm" #i "\n"
  for (int i = 0; i < kSteps; ++i) asm volatile(FORGE_24(FORGE_STEP) : : : FORGE_CLOBBERS);
#undef FORGE_STEP
  return 24.0 * 128 * kSteps;
}

/// What all threads of the pool do together in `seconds`. Each thread times itself: one that starts late does
/// not count.
double MeasurePeak(double (*operations)(), double seconds) {
  const auto threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  std::vector<double> rates(threads);
  ThreadPool::Global().Run(threads, [&](std::size_t i) {
    const double start = Now();
    double done = 0;
    do done += operations();
    while (Now() - start < seconds);
    rates[i] = done / (Now() - start);
  });
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}
#endif

}  // namespace

double MeasureReadBandwidth(double seconds) {
  const HugeMemory memory(256u << 20);
  std::fill_n(memory.data(), memory.size(), std::byte{1});  // pages of zeros alone may be one page
  const auto* words = reinterpret_cast<const std::uint64_t*>(memory.data());
  const std::size_t count = memory.size() / sizeof(std::uint64_t);
  const auto threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  double best = 0, passes = 0;
  const double first_start = Now();
  do {
    const double start = Now();
    ThreadPool::Global().Run(threads, [&](std::size_t i) {
      const std::size_t first = count * i / threads, last = count * (i + 1) / threads;
      Keep(Sum(words + first, last - first));
    });
    best = std::max(best, static_cast<double>(memory.size()) / (Now() - start));
    ++passes;
  } while (Now() - first_start < seconds || passes < 4);
  if (seconds > 0) return passes * static_cast<double>(memory.size()) / (Now() - first_start);
  return best;
}

double MeasureFloatPeak([[maybe_unused]] double seconds) {
#if defined(__x86_64__)
  if (KernelTarget() != CpuTarget::kScalar)
    return MeasurePeak(KernelTarget() == CpuTarget::kAvx512 ? Avx512FloatOperations : Avx2FloatOperations,
                       seconds);
#endif
  return 0;
}

double MeasureInt8Peak([[maybe_unused]] double seconds) {
#if defined(__x86_64__)
  if (KernelTarget() != CpuTarget::kScalar)
    return MeasurePeak(KernelTarget() == CpuTarget::kAvx512 ? Avx512Int8Operations : Avx2Int8Operations,
                       seconds);
#endif
  return 0;
}

}  // namespace forge::runtime
