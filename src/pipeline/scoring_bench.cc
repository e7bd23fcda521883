// SPDX-License-Identifier: Apache-2.0
// Scoring the starter tasks: the runtime, all items together, against libtorch eager, one sequence at a time.
// Both in one run, in turn. Needs the training engine (a build with torch).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

#include "base/cpu_features.h"
#include "eval/starter_items.h"
#include "model/testing_models.h"
#include "pipeline/starter_batches.h"
#include "runtime/native_model.h"
#include "text/byte_tokenizer.h"
#include "train/engine.h"

namespace forge::pipeline {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void BM_ScoreStarterItems(benchmark::State& state) {
  const model::ModelConfig config = StarterModelConfig();
  const model::ModelWeights weights = model::testing::RandomWeights(config);
  const text::Tokenizer tokenizer(text::MakeByteTokenizer());
  std::vector<model::ScoreRequest> requests;
  std::vector<std::vector<int>> sequences;
  std::int64_t tokens = 0;
  for (const eval::DomainItems& domain : eval::StarterTasks({.search = 100, .selection = 1, .test = 1}))
    for (const eval::Item& item : domain.search) {
      requests.push_back({tokenizer.Encode(item.prompt), {tokenizer.Encode(item.completion)}});
      sequences.push_back(tokenizer.Encode(item.prompt + item.completion));
      tokens += static_cast<std::int64_t>(sequences.back().size());
    }
  runtime::NativeModel runtime(config, weights);
  std::vector<double> speedups;
  for (auto _ : state) {
    const double eager = Seconds(
        [&] { benchmark::DoNotOptimize(train::OpenEngine().ScoreEach(config, weights, sequences, "cpu")); });
    const double ours = Seconds([&] { benchmark::DoNotOptimize(runtime.Score(requests)); });
    state.SetIterationTime(ours);
    speedups.push_back(eager / ours);
  }
  std::sort(speedups.begin(), speedups.end());
  state.counters["speedup_vs_libtorch_eager"] = speedups[speedups.size() / 2];
  state.counters["tokens_per_second"] =
      benchmark::Counter(static_cast<double>(tokens * static_cast<std::int64_t>(state.iterations())),
                         benchmark::Counter::kIsRate);
  state.SetLabel(std::string(Name(ChosenTarget())));
}
BENCHMARK(BM_ScoreStarterItems)->UseManualTime()->Unit(benchmark::kMillisecond)->MinTime(3);

}  // namespace
}  // namespace forge::pipeline
