// SPDX-License-Identifier: Apache-2.0
// The best rows of a vocabulary's head by upper halves (best_rows.h) against all its products, in turns, on
// the threads of the pool (FORGE_THREADS), for each target that this processor has.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "base/philox.h"
#include "runtime/target_bench.h"
#include "runtime/ternary/best_rows.h"

namespace forge::runtime {
namespace {

/// Normal weights, rounded as Q8_0 is. Rows are of blocks from a pool: drawing all of them takes minutes.
CodeMatrix NormalHead(std::size_t out, std::size_t in, WeightArena& arena) {
  constexpr std::uint32_t kPool = 1 << 16;
  constexpr std::size_t kBlockBytes = 34;
  std::vector<std::byte> pool(kPool * kBlockBytes);
  Random random(1, "bench/head");
  for (std::byte* block = pool.data(); block != pool.data() + pool.size(); block += kBlockBytes) {
    double values[32], most = 0;
    for (double& value : values) most = std::max(most, std::fabs(value = random.Normal()));
    const std::uint16_t scale = FloatToHalf(static_cast<float>(most / 127));
    block[0] = static_cast<std::byte>(scale & 255);
    block[1] = static_cast<std::byte>(scale >> 8);
    for (std::size_t k = 0; k < 32; ++k)
      block[2 + k] = static_cast<std::byte>(static_cast<std::int8_t>(std::lrint(values[k] / most * 127)));
  }
  CodeMatrix head = CodeMatrix::EmptyHalves(out, in, arena);
  head.PutRows(0, out, [&](std::size_t row) {
    thread_local std::vector<std::byte> bytes;
    bytes.clear();
    Random blocks(row, "bench/row");
    for (std::size_t block = 0; block < in / 32; ++block) {
      const std::byte* from = pool.data() + blocks.Below(kPool) * kBlockBytes;
      bytes.insert(bytes.end(), from, from + kBlockBytes);
    }
    return std::span<const std::byte>(bytes);
  });
  return head;
}

/// Arguments: target, tokens, in, out. The time is that of the best rows; `times` is how often it goes into
/// that of all products, without a look at those.
void BM_BestRows(benchmark::State& state) {
  const auto tokens = static_cast<std::size_t>(state.range(1)), in = static_cast<std::size_t>(state.range(2)),
             out = static_cast<std::size_t>(state.range(3));
  if (!UseTarget(state)) return;
  if (tokens > 1 && !CanBoundMany()) return state.SkipWithError("one token at a time with this target");
  WeightArena arena;
  const CodeMatrix head = NormalHead(out, in, arena);
  Int8Rows rows;
  rows.Resize(tokens, in, head.block());
  Random random(2, "bench/states");
  std::vector<float> x(in), y(tokens * out);
  for (std::size_t token = 0; token < tokens; ++token) {
    for (float& value : x) value = static_cast<float>(random.Normal());
    rows.Quantize(token, x.data());
  }
  const std::vector<std::span<const int>> banned(tokens);
  std::vector<double> times;
  for (auto _ : state) {
    const double all = Seconds([&] { head.Multiply(rows, {}, y.data()); }),
                 best = Seconds([&] { benchmark::DoNotOptimize(FindBestRows(head, rows, banned)); });
    state.SetIterationTime(best);
    times.push_back(all / best);
  }
  std::sort(times.begin(), times.end());
  state.counters["times"] = times[times.size() / 2];
}
BENCHMARK(BM_BestRows)
    ->ArgNames({"target", "tokens", "in", "out"})
    ->ArgsProduct({{1, 2}, {1, 2, 4, 8, 16, 32, 64, 256}, {1536}, {151936}})
    ->ArgsProduct({{1, 2}, {1, 4, 16, 64}, {576}, {49152}})
    ->UseManualTime()
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace forge::runtime
