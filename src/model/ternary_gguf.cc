// SPDX-License-Identifier: Apache-2.0
#include "model/ternary_gguf.h"

#include <fmt/format.h>

namespace forge::model {

TernaryModel LoadTernaryGguf(const std::filesystem::path& path) {
  const std::unique_ptr<WeightSource> source = OpenGguf(path);
  TernaryModel model{.config = source->config(), .weights = {}, .ternary = {}};
  std::map<std::string, TensorSpec> specs;
  for (TensorSpec& spec : ListTensors(model.config)) specs[spec.name] = spec;
  const auto read_together = [&](int layer, std::initializer_list<const char*> linears) {
    std::vector<const TensorSpec*> found;
    for (const char* linear : linears)
      found.push_back(&specs.at(fmt::format("model.layers.{}.{}.weight", layer, linear)));
    const int group = source->TernaryGroup(*found.front());
    for (const TensorSpec* spec : found)
      if (group == 0 || source->TernaryGroup(*spec) != group) return;
    for (const TensorSpec* spec : found) model.ternary.emplace(spec->name, source->ReadTernary(*spec));
  };
  for (int layer = 0; layer < model.config.num_hidden_layers; ++layer) {
    read_together(layer, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"});
    read_together(layer, {"self_attn.o_proj"});
    read_together(layer, {"mlp.gate_proj", "mlp.up_proj"});
    read_together(layer, {"mlp.down_proj"});
  }
  for (const auto& [name, spec] : specs)
    if (!model.ternary.contains(name)) model.weights[name] = source->Read(spec);
  return model;
}

}  // namespace forge::model
