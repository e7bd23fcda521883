// SPDX-License-Identifier: Apache-2.0
#include "model/ternary_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/float16.h"

namespace forge::model {
namespace {

/// Elements that share a scale in a linear stored as one of the ternary types; nothing for other types.
std::optional<int> GroupOf(const io::GgufFile::Entry* entry) {
  if (entry == nullptr || !entry->type) return std::nullopt;
  switch (*entry->type) {
    case io::BlockType::kQ2_0:
      return 64;
    case io::BlockType::kTQ1_0:
    case io::BlockType::kTQ2_0:
      return 256;
    default:
      return std::nullopt;
  }
}

/// The codes and scales of values that were decoded from ternary blocks.
TernaryTensor ToTernary(const Tensor& tensor, int group, const std::string& name,
                        const std::filesystem::path& path) {
  TernaryTensor ternary{.shape = tensor.shape, .group = group};
  const auto size = static_cast<std::size_t>(group);
  ternary.codes.resize(tensor.values.size());
  for (std::size_t start = 0; start < tensor.values.size(); start += size) {
    const std::span<const float> values(tensor.values.data() + start, size);
    float scale = 0;
    for (const float value : values) scale = std::max(scale, std::fabs(value));
    bool is_ternary = scale == RoundToHalf(scale);
    for (std::size_t i = 0; i < size; ++i) {
      is_ternary = is_ternary && (values[i] == 0 || std::fabs(values[i]) == scale);
      ternary.codes[start + i] = static_cast<std::int8_t>((values[i] > 0) - (values[i] < 0));
    }
    if (!is_ternary)
      throw Error(
          {.what = "cannot use the ternary weights of " + path.string(),
           .why = fmt::format("{}: the group at element {} holds more than one magnitude", name, start),
           .fix =
               "compress the model again, or convert it without llama-quantize (it rounds to other codes)"});
    ternary.scales.push_back(scale);
  }
  return ternary;
}

}  // namespace

TernaryModel LoadTernaryGguf(const std::filesystem::path& path) {
  ModelFolder loaded = LoadGguf(path);
  const io::GgufFile file(path);
  TernaryModel model{.config = loaded.config, .weights = std::move(loaded.weights), .ternary = {}};
  const auto convert = [&](int layer, std::initializer_list<const char*> linears) {
    std::vector<std::string> names;
    for (const char* linear : linears)
      names.push_back(fmt::format("model.layers.{}.{}.weight", layer, linear));
    const std::optional<int> group = GroupOf(file.Find(GgufName(names.front())));
    for (const std::string& name : names)
      if (!group || GroupOf(file.Find(GgufName(name))) != group) return;
    for (const std::string& name : names) {
      model.ternary.emplace(name, ToTernary(model.weights.at(name), *group, name, path));
      model.weights.erase(name);
    }
  };
  for (int layer = 0; layer < model.config.num_hidden_layers; ++layer) {
    convert(layer, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"});
    convert(layer, {"self_attn.o_proj"});
    convert(layer, {"mlp.gate_proj", "mlp.up_proj"});
    convert(layer, {"mlp.down_proj"});
  }
  return model;
}

}  // namespace forge::model
