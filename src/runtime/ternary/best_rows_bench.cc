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

/// Normal weights with one scale for each row. Rows begin anywhere in a pool, as above.
CodeMatrix RotatedHead(std::size_t out, std::size_t in, WeightArena& arena) {
  constexpr std::uint32_t kPool = 1 << 20;
  std::vector<float> pool(kPool + in), rows;
  Random random(1, "bench/rotated");
  for (float& value : pool) value = static_cast<float>(random.Normal());
  CodeMatrix head = CodeMatrix::EmptyRotated(out, in, arena);
  for (std::size_t row = 0; row < out; ++row) {
    const float* from = pool.data() + random.Below(kPool);
    rows.insert(rows.end(), from, from + in);
    if (rows.size() < 1024 * in && row + 1 < out) continue;
    head.PutRotated(row + 1 - rows.size() / in, rows);
    rows.clear();
  }
  return head;
}

/// Arguments: target, tokens, in, out, whether the head is rotated. The time is that of the best rows;
/// `times` is how often it goes into that of all products, without a look at those.
void BM_BestRows(benchmark::State& state) {
  const auto tokens = static_cast<std::size_t>(state.range(1)), in = static_cast<std::size_t>(state.range(2)),
             out = static_cast<std::size_t>(state.range(3));
  if (!UseTarget(state)) return;
  WeightArena arena;
  const CodeMatrix head = state.range(4) != 0 ? RotatedHead(out, in, arena) : NormalHead(out, in, arena);
  if (tokens > 1 && !CanBoundMany(head)) return state.SkipWithError("one token at a time with this target");
  Int8Rows rows = head.RoomFor(tokens);
  Random random(2, "bench/states");
  std::vector<float> x(tokens * in), y(tokens * out);
  for (float& value : x) value = static_cast<float>(random.Normal());
  rows.Quantize(x.data());
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
    ->ArgNames({"target", "tokens", "in", "out", "rotated"})
    ->ArgsProduct({{1, 2}, {1, 2, 4, 8, 16, 32, 64, 256}, {1536}, {151936}, {0, 1}})
    ->ArgsProduct({{1, 2}, {1, 4, 16, 64}, {576}, {49152}, {0, 1}})
    ->UseManualTime()
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace forge::runtime
