// SPDX-License-Identifier: Apache-2.0
// Start-up and long lines; scripts/bench_tokenizer.sh compares the speed of text with Hugging Face
// tokenizers.
#include <benchmark/benchmark.h>

#include "base/philox.h"
#include "text/load_tokenizer.h"
#include "text/testing_vectors.h"

namespace forge::text {
namespace {

/// A tokenizer of shared/, by its folder; null and a note if it is not there.
std::unique_ptr<Tokenizer> Load(benchmark::State& state, const char* folder) {
  const std::filesystem::path file = testing::SharedData() / "tokenizers" / folder / "tokenizer.json";
  if (std::filesystem::exists(file)) return LoadTokenizer(file);
  state.SkipWithError((file.string() + " is not there; set FORGE_SHARED").c_str());
  return nullptr;
}

void BM_Load(benchmark::State& state, const char* folder) {
  for (auto _ : state) benchmark::DoNotOptimize(Load(state, folder));
}
BENCHMARK_CAPTURE(BM_Load, Qwen2_5_7MB, "qwen2.5")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Load, SmolLM2, "smollm2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Load, Llama2, "llama2")->Unit(benchmark::kMillisecond);

/// One line of letters without a space: a single piece, of 100,000 and of 1,000,000 bytes.
void BM_OneLine(benchmark::State& state, const char* folder) {
  const std::unique_ptr<Tokenizer> tokenizer = Load(state, folder);
  if (tokenizer == nullptr) return;
  std::string line;
  Random random(1, "tokenizer_bench");
  while (line.size() < static_cast<std::size_t>(state.range(0)))
    line += static_cast<char>('a' + random.Below(26));
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->Encode(line));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK_CAPTURE(BM_OneLine, Qwen2_5, "qwen2.5")->Arg(100000)->Arg(1000000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_OneLine, Llama2, "llama2")->Arg(100000)->Arg(1000000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace forge::text
