// SPDX-License-Identifier: Apache-2.0
// Integer weights x int8 activations on the threads of the pool (FORGE_THREADS), for each target that this
// processor has, against what the machine reads from memory and multiplies in registers at the same time.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "runtime/machine_limits.h"
#include "runtime/target_bench.h"
#include "runtime/ternary/code_matrix.h"

namespace forge::runtime {
namespace {

/// Matrices [out, in] of one layout, as many as are larger than a cache together.
std::vector<CodeMatrix> Matrices(CodeLayout layout, std::size_t in, std::size_t out, WeightArena& arena) {
  constexpr std::size_t kTogether = 160u << 20;
  std::vector<CodeMatrix> matrices;
  std::size_t bytes = 0;
  do {
    if (IsTernary(layout)) {
      const std::size_t group = in % 256 == 0 ? 256 : 64;
      std::vector<std::int8_t> codes(in * out);
      for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<std::int8_t>(static_cast<int>(i * 2654435761u >> 13) % 3 - 1);
      matrices.push_back(CodeMatrix::PackTernary(codes, std::vector<float>(in * out / group, 1.0f), out, in,
                                                 group, layout, arena));
    } else {
      const io::BlockType type = layout == CodeLayout::kInt8 ? io::BlockType::kQ8_0 : io::BlockType::kQ4_0;
      const std::vector<std::byte> row(io::RowBytes(type, in), std::byte{5});
      matrices.push_back(CodeMatrix::Empty(type, out, in, arena));
      matrices.back().PutRows(0, out, [&](std::size_t) { return std::span<const std::byte>(row); });
    }
    bytes += matrices.back().bytes();
  } while (bytes < kTogether);
  return matrices;
}

/// Arguments: target, layout, tokens, in, out. Limits and product in turn, so that a change of clock hits
/// both.
void BM_MultiplyCodes(benchmark::State& state) {
  const auto layout = static_cast<CodeLayout>(state.range(1));
  const auto tokens = static_cast<std::size_t>(state.range(2)), in = static_cast<std::size_t>(state.range(3)),
             out = static_cast<std::size_t>(state.range(4));
  if (!UseTarget(state)) return;
  WeightArena arena;
  const std::vector<CodeMatrix> matrices = Matrices(layout, in, out, arena);
  std::vector<float> x(tokens * in), y(tokens * out);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % in % 17) - 8;
  Int8Rows rows = matrices[0].RoomFor(tokens);
  rows.Quantize(x.data());
  const double operations = 2.0 * static_cast<double>(tokens * in * out * matrices.size());
  const double bytes = static_cast<double>(matrices[0].bytes() * matrices.size());
  std::vector<double> shares_of_peak, shares_of_bandwidth;
  for (auto _ : state) {
    const double peak = MeasureInt8Peak(0.05), bandwidth = MeasureReadBandwidth();
    const double seconds = Seconds([&] {
      for (const CodeMatrix& matrix : matrices) matrix.Multiply(rows, {}, y.data());
    });
    state.SetIterationTime(seconds);
    if (peak > 0) shares_of_peak.push_back(operations / seconds / peak);
    shares_of_bandwidth.push_back(bytes / seconds / bandwidth);
  }
  const auto median = [](std::vector<double>& values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() / 2];
  };
  state.counters["share_of_int8_peak"] = median(shares_of_peak);
  state.counters["share_of_bandwidth"] = median(shares_of_bandwidth);
}
BENCHMARK(BM_MultiplyCodes)
    ->ArgNames({"target", "layout", "tokens", "in", "out"})
    ->ArgsProduct({{1, 2}, {0, 1, 5}, {1, 2, 4, 8, 16, 32, 512}, {1536}, {17920}})
    ->ArgsProduct({{1, 2}, {0}, {1, 16, 512}, {576}, {3072}})
    ->ArgsProduct({{1, 2}, {0}, {32, 64, 128}, {576, 1536}, {3072}})
    ->ArgsProduct({{2}, {0, 5}, {1, 16}, {8960}, {1536}})
    ->ArgsProduct({{1, 2}, {2, 3}, {1, 16}, {1536}, {32768}})
    ->UseManualTime()
    ->Iterations(7)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace forge::runtime
