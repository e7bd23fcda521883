// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer_pass.h"

#include <gtest/gtest.h>

#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::runtime {
namespace {

using model::testing::RandomWeights;
using model::testing::TinyConfig;

/// Layer by layer, the final-normed state of the last token; a layer linear by linear or at once.
std::vector<float> LastHidden(const PackedWeights& weights, const std::vector<int>& text, bool at_once) {
  const auto hidden = static_cast<std::size_t>(weights.config.hidden_size);
  std::vector<float> states(text.size() * hidden), rows(states.size());
  for (std::size_t t = 0; t < text.size(); ++t)
    weights.embedding.Row(static_cast<std::size_t>(text[t]), states.data() + t * hidden);
  std::vector<float> attended(text.size() * static_cast<std::size_t>(weights.config.query_size())),
      gated(text.size() * static_cast<std::size_t>(weights.config.intermediate_size));
  for (const PackedLayer& layer : weights.layers) {
    const LayerPass pass(weights.config, layer, 64);
    if (at_once) {
      pass.Run(text.size(), states.data());
      continue;
    }
    pass.AttentionInput(states.data(), text.size(), rows.data());
    pass.Attended(rows.data(), text.size(), attended.data());
    pass.AddAttentionOutput(attended.data(), text.size(), states.data());
    pass.MlpInput(states.data(), text.size(), rows.data());
    pass.Gated(rows.data(), text.size(), gated.data());
    pass.AddDown(gated.data(), text.size(), states.data());
  }
  std::vector<float> last(hidden);
  Kernels().rms_norm(states.data() + (text.size() - 1) * hidden, weights.final_norm.data(), hidden,
                     static_cast<float>(weights.config.rms_norm_eps), last.data());
  return last;
}

TEST(LayerPass, GivesTheBitsOfTheWholeForwardPass) {
  std::vector<int> text;
  for (int i = 0; i < 45; ++i) text.push_back((i * 7 + i * i) % 40);
  for (const std::string type : {"qwen2", "llama", "qwen3"}) {
    const model::ModelConfig config = TinyConfig(type);
    const model::ModelWeights weights = RandomWeights(config);
    NativeModel model(config, weights);
    const std::vector<std::vector<int>> texts{text};
    for (const bool at_once : {false, true})
      EXPECT_EQ(LastHidden(PackWeights(config, weights, {}), text, at_once), model.LastHidden(texts)) << type;
  }
}

}  // namespace
}  // namespace forge::runtime
