// SPDX-License-Identifier: Apache-2.0
#include "compress/export.h"

#include "model/gguf_model.h"

namespace forge::compress {

void ExportGguf(const std::filesystem::path& path, const CompressedModel& model, const ExportTypes& types,
                const io::GgufMetadata& tokenizer, const std::string& model_name) {
  std::vector<model::GgufTensor> tensors;
  for (const model::TensorSpec& spec : model::ListTensors(model.config)) {
    const auto ternary = model.ternary.find(spec.name);
    const auto encoded = model.encoded.find(spec.name);
    if (encoded != model.encoded.end())
      tensors.push_back({.name = spec.name, .type = encoded->second.type, .blocks = encoded->second.blocks});
    else if (ternary == model.ternary.end())
      tensors.push_back(
          {.name = spec.name, .type = types.tables, .values = model.weights.at(spec.name).values});
    else
      tensors.push_back({.name = spec.name,
                         .type = types.linears,
                         .codes = ternary->second.codes,
                         .scales = ternary->second.scales,
                         .group_size = static_cast<std::size_t>(ternary->second.group)});
    const auto second = model.second_plane.find(spec.name);
    if (second == model.second_plane.end()) continue;
    tensors.back().second_codes = second->second.codes;
    tensors.back().second_scales = second->second.scales;
  }
  model::SaveGguf(path, model.config, tensors, tokenizer, model_name);
}

}  // namespace forge::compress
