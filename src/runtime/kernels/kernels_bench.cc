// SPDX-License-Identifier: Apache-2.0
// The products on the threads of the pool (FORGE_THREADS), for each target that this processor has, against
// the rate of fused multiply-adds that it reaches in registers alone.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "base/philox.h"
#include "runtime/kernels/packed_matrix.h"
#include "runtime/machine_limits.h"
#include "runtime/target_bench.h"

namespace forge::runtime {
namespace {

/// Arguments: target, rows, in, out. Peak and product in turn, so that a change of clock hits both.
void BM_Multiply(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(1)), in = static_cast<std::size_t>(state.range(2)),
             out = static_cast<std::size_t>(state.range(3));
  if (!UseTarget(state)) return;
  Random random(1, "bench");
  std::vector<float> weights(in * out), x(rows * in), y(rows * out);
  for (float& value : weights) value = static_cast<float>(random.Normal());
  for (float& value : x) value = static_cast<float>(random.Normal());
  const PackedMatrix matrix = PackedMatrix::Pack(weights, out, in, WeightType::kFloat32);
  std::vector<double> shares;
  const double operations = 2.0 * static_cast<double>(rows * in * out);
  double total = 0;
  for (auto _ : state) {
    const double peak = MeasureFloatPeak();
    const double seconds = Seconds([&] { matrix.Multiply(x.data(), rows, {}, y.data()); });
    state.SetIterationTime(seconds);
    total += seconds;
    if (peak > 0) shares.push_back(operations / seconds / peak);
  }
  std::sort(shares.begin(), shares.end());
  if (!shares.empty()) state.counters["share_of_peak"] = shares[shares.size() / 2];
  state.counters["GFLOP_per_s"] = operations * static_cast<double>(state.iterations()) / total * 1e-9;
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
