// SPDX-License-Identifier: Apache-2.0
// Attention of one layer over a long text: what a new token costs, and what a piece of a prompt at its end
// does.
#include <benchmark/benchmark.h>

#include <numeric>

#include "base/philox.h"
#include "runtime/attention.h"

namespace forge::runtime {
namespace {

/// range(0): KeyValueType; range(1): positions; range(2): tokens, the last ones; range(3): query heads;
/// range(4): key-value heads; range(5): head_dim.
void BM_Attend(benchmark::State& state) {
  const auto type = static_cast<KeyValueType>(state.range(0));
  const int context = static_cast<int>(state.range(1)), tokens = static_cast<int>(state.range(2));
  model::ModelConfig config{.num_hidden_layers = 1,
                            .num_attention_heads = static_cast<int>(state.range(3)),
                            .num_key_value_heads = static_cast<int>(state.range(4)),
                            .head_dim = static_cast<int>(state.range(5))};
  // Several layers in turn, so that a decoded token does not find its keys and values in a cache.
  const int layers = tokens == 1 ? 24 : 1;
  config.num_hidden_layers = layers;
  Random random(1, "attention");
  const auto fill = [&](std::vector<float>& numbers) {
    for (float& number : numbers) number = static_cast<float>(random.Normal());
  };
  std::vector<float> row(static_cast<std::size_t>(config.key_value_size())),
      queries(static_cast<std::size_t>(config.query_size() * tokens));
  KeyValueCache cache(config, context, nullptr, type);
  fill(row);
  for (int layer = 0; layer < layers; ++layer)
    for (int position = 0; position < context; ++position) {
      row[static_cast<std::size_t>(position) % row.size()] = static_cast<float>(random.Normal());
      cache.Put(layer, position, row.data(), row.data());
    }
  fill(queries);
  std::vector<TokenInput> inputs;
  std::vector<int> rows(static_cast<std::size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  for (const int i : rows) inputs.push_back({0, 0, context - tokens + i});
  std::vector<float> attended(queries.size());
  KeyValueCache* const caches[] = {&cache};
  for (auto _ : state)
    for (int layer = 0; layer < layers; ++layer)
      Attend(config, layer, inputs, rows, caches, queries.data(),
             static_cast<std::size_t>(config.query_size()), attended.data());
  state.SetItemsProcessed(state.iterations() * tokens * layers);
  state.counters["cache_MB"] = static_cast<double>(cache.bytes()) * 1e-6;
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  for (const int context : {512, 4096, 8192})
    for (const int tokens : {1, 512})
      for (const int type : {0, 1, 2}) {
        benchmark->Args({type, context, tokens, 9, 3, 64});    // SmolLM2-135M
        benchmark->Args({type, context, tokens, 12, 2, 128});  // Qwen2.5-1.5B
      }
}
BENCHMARK(BM_Attend)->Apply(Shapes)->UseRealTime();

}  // namespace
}  // namespace forge::runtime
