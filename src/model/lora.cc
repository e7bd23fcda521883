// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/json_file.h"
#include "io/safetensors.h"

namespace forge::model {
namespace {

using io::Json;

constexpr int kMaxRank = 1 << 16;

[[noreturn]] void Fail(const std::string& source, const std::vector<std::string>& problems) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the LoRA adapter " + source,
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "give a plain LoRA adapter of this base model, or merge it with PEFT first"});
}

bool IsUnset(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

void ReadConfig(const std::filesystem::path& path, LoraAdapter& adapter) {
  const Json json = io::ReadJsonFile(path, io::kConfigLimits);
  if (!json.is_object()) Fail(path.string(), {"it is not a JSON object"});
  std::vector<std::string> problems;
  if (json.value("peft_type", Json()) != "LORA") problems.push_back("peft_type is not \"LORA\"");
  if (const Json bias = json.value("bias", Json("none")); bias != "none")
    problems.push_back("bias is " + bias.dump());
  for (const char* name :
       {"use_dora", "fan_in_fan_out", "modules_to_save", "alpha_pattern", "rank_pattern", "lora_bias"})
    if (const Json value = json.value(name, Json()); !IsUnset(value))
      problems.push_back(fmt::format("{} is {}; forge adds only scale * B A", name, value.dump()));
  const Json rank = json.value("r", Json()), alpha = json.value("lora_alpha", Json());
  if (!rank.is_number_integer() || rank < 1 || rank > kMaxRank) problems.push_back("r is " + rank.dump());
  if (!alpha.is_number()) problems.push_back("lora_alpha is " + alpha.dump());
  if (!problems.empty()) Fail(path.string(), problems);
  adapter.rank = rank.get<int>();
  const bool is_rank_stabilized =
      json.value("use_rslora", Json()) == true;  // Kalajdzievski 2023, arXiv:2312.03732
  adapter.scale = alpha.get<double>() / (is_rank_stabilized ? std::sqrt(adapter.rank) : adapter.rank);
}

/// "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight" -> "model.layers.0.mlp.up_proj.weight", and
/// whether it is A or B; an empty name for anything else.
std::pair<std::string, char> WeightName(const std::string& name) {
  constexpr std::string_view kPrefix = "base_model.model.";
  for (const char factor : {'A', 'B'}) {
    const std::string ending = std::string(".lora_") + factor + ".weight";
    if (name.starts_with(kPrefix) && name.size() > kPrefix.size() + ending.size() && name.ends_with(ending))
      return {name.substr(kPrefix.size(), name.size() - kPrefix.size() - ending.size()) + ".weight", factor};
  }
  return {"", ' '};
}

}  // namespace

LoraAdapter ReadLoraAdapter(const std::filesystem::path& folder) {
  LoraAdapter adapter;
  ReadConfig(folder / "adapter_config.json", adapter);
  const io::SafetensorsFile file(folder / "adapter_model.safetensors");
  std::vector<std::string> problems;
  for (const io::SafetensorsFile::Entry& entry : file.entries()) {
    const auto [weight, factor] = WeightName(entry.name);
    if (weight.empty()) {
      problems.push_back(fmt::format("tensor {} is not a factor of a linear", entry.name));
      continue;
    }
    Tensor& tensor = factor == 'A' ? adapter.factors[weight].a : adapter.factors[weight].b;
    tensor.shape = entry.shape;
    tensor.values.resize(entry.size());
    file.ReadFloats(entry, tensor.values);
    for (const float value : tensor.values) {
      if (std::isfinite(value)) continue;
      problems.push_back(fmt::format("tensor {} holds {}", entry.name, value));
      break;
    }
  }
  for (const auto& [name, factors] : adapter.factors)
    if (factors.a.shape.size() != 2 || factors.b.shape.size() != 2 || factors.a.shape[0] != adapter.rank ||
        factors.b.shape[1] != adapter.rank)
      problems.push_back(fmt::format(
          "the factors of {} are A [{}] and B [{}]; they must be [{}, in] and [out, {}]", name,
          fmt::join(factors.a.shape, ", "), fmt::join(factors.b.shape, ", "), adapter.rank, adapter.rank));
  if (adapter.factors.empty()) problems.push_back("it has no factors");
  if (!problems.empty()) Fail(folder.string(), problems);
  return adapter;
}

void AddLora(const LoraAdapter& adapter, double strength, ModelWeights& weights, const std::string& source) {
  std::vector<std::string> problems;
  for (const auto& [name, factors] : adapter.factors) {
    const auto found = weights.find(name);
    const std::vector<std::int64_t> shape = {factors.b.shape[0], factors.a.shape[1]};
    if (found == weights.end()) {
      problems.push_back("the base model has no " + name);
    } else if (found->second.shape != shape) {
      problems.push_back(fmt::format("{} is [{}] in the base model, [{}] in the adapter", name,
                                     fmt::join(found->second.shape, ", "), fmt::join(shape, ", ")));
    }
  }
  if (!problems.empty()) Fail(source, problems);
  const double scale = strength * adapter.scale;
  for (const auto& [name, factors] : adapter.factors) {
    std::vector<float>& values = weights.at(name).values;
    const std::size_t columns = static_cast<std::size_t>(factors.a.shape[1]),
                      rank = static_cast<std::size_t>(adapter.rank);
    ParallelFor(static_cast<std::size_t>(factors.b.shape[0]), 16, [&](std::size_t begin, std::size_t end) {
      std::vector<double> change(columns);
      for (std::size_t row = begin; row < end; ++row) {
        std::fill(change.begin(), change.end(), 0.0);
        for (std::size_t r = 0; r < rank; ++r) {
          const double b = factors.b.values[row * rank + r];
          for (std::size_t i = 0; i < columns; ++i) change[i] += b * factors.a.values[r * columns + i];
        }
        for (std::size_t i = 0; i < columns; ++i) {
          float& value = values[row * columns + i];
          value = static_cast<float>(value + scale * change[i]);
        }
      }
    });
  }
}

}  // namespace forge::model
