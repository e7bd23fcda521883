// SPDX-License-Identifier: Apache-2.0
// Merges of one large bfloat16 tensor in memory, to bfloat16, on all threads of the pool: bytes a second that
// are read and written, and their share of what the same threads copy (memcpy of as many bytes, in the same
// run, in turns).
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "base/philox.h"
#include "base/thread_pool.h"
#include "io/float_arrays.h"
#include "merge/exact/tensor_merge.h"

namespace forge::merge {
namespace {

constexpr std::size_t kColumns = 4096, kRows = 16384, kModels = 3;
using Stored = std::vector<std::byte>;

double SecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Stored RandomTensor(std::uint64_t seed) {
  Stored stored(kRows * kColumns * 2);
  ParallelFor(kRows, 64, [&](std::size_t begin, std::size_t end) {
    std::vector<float> row(kColumns);
    for (std::size_t r = begin; r < end; ++r) {
      Random random(seed, "tensor_merge_bench", r);
      for (float& value : row) value = static_cast<float>(random.Uniform() - 0.5);
      io::NarrowFloats(row, io::FloatType::kBF16, stored.data() + r * kColumns * 2);
    }
  });
  return stored;
}

void BM_Merge(benchmark::State& state, const char* method) {
  TensorTask task{.name = "weight", .shape = {kRows, kColumns}, .method = FindMethod(method)};
  const bool has_base = task.method->base == BaseRole::kRequired;
  std::vector<Stored> models;
  for (std::size_t m = 0; m < kModels + (has_base ? 1 : 0); ++m) {
    models.push_back(RandomTensor(m));
    task.sources.push_back({static_cast<int>(m), task.name});
    TensorParameters::Values& own = task.parameters.of_source.emplace_back();
    for (const ParameterRule& rule : task.method->parameters)
      if (rule.per_model) own[rule.name] = rule.default_value.value_or(0.4);
    if (own.contains("density")) own["density"] = 0.5;
  }
  if (has_base) task.base = static_cast<int>(kModels);
  for (const ParameterRule& rule : task.method->parameters)
    if (!rule.per_model) task.parameters.shared[rule.name] = rule.default_value.value_or(0.4);
  Stored out(models[0].size()), copied(models[0].size());
  const SourceReader read = [&](std::size_t source, std::size_t first, std::span<float> to) {
    io::WidenFloats(std::span(models[source]).subspan(first * 2, to.size() * 2), io::FloatType::kBF16, to);
  };
  const PieceWriter write = [&](const Piece& piece, std::span<const float> merged) {
    io::NarrowFloats(merged, io::FloatType::kBF16, out.data() + piece.first * 2);
  };
  const StoredReader find = [&](std::size_t source, std::size_t first, std::size_t, bool) {
    return Values{models[source].data() + first * 2, true};
  };
  const double bytes = static_cast<double>((models.size() + 1) * out.size());
  double merging = 0, copying = 0;
  for (auto _ : state) {
    const double seconds = SecondsOf([&] { MergeTensor(task, 1, read, write, find); });
    state.SetIterationTime(seconds);
    merging += seconds;
    copying += SecondsOf([&] {
      ParallelFor(out.size(), 1 << 20, [&](std::size_t begin, std::size_t end) {
        std::memcpy(copied.data() + begin, models[0].data() + begin, end - begin);
      });
    });
    benchmark::DoNotOptimize(out.data());
    benchmark::DoNotOptimize(copied.data());
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GB/s"] = bytes * runs / merging / 1e9;
  state.counters["copy_GB/s"] = 2 * static_cast<double>(out.size()) * runs / copying / 1e9;
  state.counters["share_of_copy"] = bytes / merging / (2 * static_cast<double>(out.size()) / copying);
}
BENCHMARK_CAPTURE(BM_Merge, linear, "linear")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Merge, task_arithmetic, "task_arithmetic")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Merge, ties, "ties")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Merge, dare_ties, "dare_ties")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Merge, della, "della")->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace forge::merge
