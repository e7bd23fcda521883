// SPDX-License-Identifier: Apache-2.0
// The products on one thread, for each target that this processor has, against the rate of fused
// multiply-adds that it reaches in registers alone.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "base/philox.h"
#include "runtime/kernels/packed_matrix.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace forge::runtime {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

constexpr int kSteps = 1'000'000;

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) double Avx2Peak() {
  __m256 sums[12];
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  __m256 factor = _mm256_set1_ps(0.5f);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) sums[j] = _mm256_fmadd_ps(factor, factor, sums[j]);
    asm volatile("" : "+x"(factor));  // or the compiler would multiply once
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (auto& sum : sums) benchmark::DoNotOptimize(sum);
  return 12.0 * 16 * kSteps / seconds;
}

__attribute__((target("avx512f"))) double Avx512Peak() {
  __m512 sums[24];
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  __m512 factor = _mm512_set1_ps(0.5f);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < 24; ++j) sums[j] = _mm512_fmadd_ps(factor, factor, sums[j]);
    asm volatile("" : "+v"(factor));  // or the compiler would multiply once
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (auto& sum : sums) benchmark::DoNotOptimize(sum);
  return 24.0 * 32 * kSteps / seconds;
}
#endif

/// Floating-point operations a second of one thread that only multiplies and adds; 0 where it is not
/// measured.
double Peak(CpuTarget target) {
#if defined(__x86_64__)
  if (target == CpuTarget::kAvx2) return Avx2Peak();
  if (target == CpuTarget::kAvx512) return Avx512Peak();
#endif
  return 0;
}

/// Arguments: target, rows, in, out. Peak and product in turn, so that a change of clock hits both.
void BM_Multiply(benchmark::State& state) {
  const auto target = static_cast<CpuTarget>(state.range(0));
  const auto rows = static_cast<std::size_t>(state.range(1)), in = static_cast<std::size_t>(state.range(2)),
             out = static_cast<std::size_t>(state.range(3));
  const std::vector<CpuTarget> supported = SupportedTargets();
  if (std::find(supported.begin(), supported.end(), target) == supported.end())
    return state.SkipWithError("this processor lacks the target");
  SetTargetForTest(target);
  Random random(1, "bench");
  std::vector<float> weights(in * out), x(rows * in), y(rows * out);
  for (float& value : weights) value = static_cast<float>(random.Normal());
  for (float& value : x) value = static_cast<float>(random.Normal());
  const PackedMatrix matrix = PackedMatrix::Pack(weights, out, in, WeightType::kFloat32);
  std::vector<double> shares;
  const double operations = 2.0 * static_cast<double>(rows * in * out);
  double total = 0;
  for (auto _ : state) {
    const double peak = Peak(target);
    const double seconds = Seconds([&] { matrix.Multiply(x.data(), rows, {}, y.data()); });
    state.SetIterationTime(seconds);
    total += seconds;
    if (peak > 0) shares.push_back(operations / seconds / peak);
  }
  std::sort(shares.begin(), shares.end());
  if (!shares.empty()) state.counters["share_of_peak"] = shares[shares.size() / 2];
  state.counters["GFLOP_per_s"] = operations * static_cast<double>(state.iterations()) / total * 1e-9;
  state.SetLabel(std::string(Name(target)));
}
BENCHMARK(BM_Multiply)
    ->ArgNames({"target", "rows", "in", "out"})
    ->ArgsProduct({{1, 2}, {512}, {128}, {256, 512}})
    ->ArgsProduct({{1, 2}, {1, 24, 512}, {576}, {1536}})
    ->ArgsProduct({{1, 2}, {512}, {1536}, {8960}})
    ->UseManualTime()
    ->Iterations(15)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace forge::runtime
