// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/safetensors_folder.h"
#include "model/lora_config.h"

namespace forge::model {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

[[noreturn]] void Fail(const std::string& source, std::vector<std::string> problems) {
  constexpr std::size_t kShown = 8;
  const std::size_t more = problems.size() > kShown ? problems.size() - kShown : 0;
  problems.resize(problems.size() - more);
  if (more > 0) problems.push_back(fmt::format("and {} more", more));
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the LoRA adapter " + source,
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "give a plain LoRA adapter of this base model, or merge it with PEFT first "
                      "(merge_and_unload)"});
}

/// Where a tensor of the file belongs.
struct Place {
  std::string module;  // "model.layers.0.mlp.up_proj"; empty: PEFT does not write such a name
  std::string ending;  // "lora_A.weight", "lora_B.weight", "weight" or another
};

Place PlaceOf(std::string name) {
  constexpr std::string_view kPrefix = "base_model.model.";
  if (!name.starts_with(kPrefix)) return {};
  name = name.substr(kPrefix.size());
  for (const std::string_view ending : {".lora_A.weight", ".lora_B.weight"})
    if (name.size() > ending.size() && name.ends_with(ending))
      return {name.substr(0, name.size() - ending.size()), std::string(ending.substr(1))};
  const std::string_view kept = ".modules_to_save.";  // some versions leave it in the name
  if (const std::size_t at = name.find(kept); at != std::string::npos) name.replace(at, kept.size(), ".");
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? Place{} : Place{name.substr(0, dot), name.substr(dot + 1)};
}

/// Reads the tensors into `adapter`, noting what is wrong.
void ReadTensors(const io::SafetensorsFile& file, const LoraConfig& config, LoraAdapter& adapter,
                 std::vector<std::string>& problems) {
  for (const io::SafetensorsFile::Entry& entry : file.entries()) {
    const Place place = PlaceOf(entry.name);
    const std::string weight = place.module + ".weight";
    Tensor* tensor = nullptr;
    if (place.ending == "lora_A.weight") {
      tensor = &adapter.factors[weight].a;
    } else if (place.ending == "lora_B.weight") {
      tensor = &adapter.factors[weight].b;
    } else if (place.ending == "weight" && config.IsSaved(place.module)) {
      tensor = &adapter.replaced[weight];
    } else {
      problems.push_back(fmt::format(
          "tensor {} is neither a factor of a linear nor a module of modules_to_save", entry.name));
      continue;
    }
    tensor->shape = entry.shape;
    tensor->values.resize(entry.size());
    file.ReadFloats(entry, tensor->values);
    const auto wrong = std::find_if(tensor->values.begin(), tensor->values.end(),
                                    [](float value) { return !std::isfinite(value); });
    if (wrong != tensor->values.end())
      problems.push_back(fmt::format("tensor {} holds {}", entry.name, *wrong));
  }
}

void CheckFactors(const LoraConfig& config, LoraAdapter& adapter, std::vector<std::string>& problems) {
  for (auto& [name, factors] : adapter.factors) {
    const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
    const int rank = config.RankOf(module);
    factors.scale = config.ScaleOf(module);
    if (factors.a.shape.size() != 2 || factors.b.shape.size() != 2 || factors.a.shape[0] != rank ||
        factors.b.shape[1] != rank)
      problems.push_back(
          fmt::format("the factors of {} are A [{}] and B [{}]; they must be [{}, in] and [out, {}]", name,
                      fmt::join(factors.a.shape, ", "), fmt::join(factors.b.shape, ", "), rank, rank));
  }
  for (const std::string& saved : config.saved_modules) {
    const bool is_there =
        std::any_of(adapter.replaced.begin(), adapter.replaced.end(),
                    [&](const auto& item) { return item.first.ends_with(saved + ".weight"); });
    if (!is_there)
      problems.push_back(fmt::format("modules_to_save names {}, of which the file has no weight", saved));
  }
  if (adapter.factors.empty() && adapter.replaced.empty()) problems.push_back("it has no factors");
}

using ShapeOf = std::function<const std::vector<std::int64_t>*(const std::string&)>;

void CheckFits(const LoraAdapter& adapter, const ShapeOf& shape_of, const std::string& source) {
  std::vector<std::string> problems;
  const auto check = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    const std::vector<std::int64_t>* found = shape_of(name);
    if (found == nullptr)
      problems.push_back("the base model has no " + name);
    else if (*found != shape)
      problems.push_back(fmt::format("{} is [{}] in the base model, [{}] in the adapter", name,
                                     fmt::join(*found, ", "), fmt::join(shape, ", ")));
  };
  for (const auto& [name, factors] : adapter.factors) check(name, {factors.b.shape[0], factors.a.shape[1]});
  for (const auto& [name, tensor] : adapter.replaced) check(name, tensor.shape);
  if (shape_of(kHead) == nullptr &&
      (adapter.replaced.contains(kEmbedding) || adapter.factors.contains(kEmbedding)))
    problems.push_back(
        "it changes embed_tokens of a base model that ties its head to it, and does not say whether the head "
        "follows");
  if (!problems.empty()) Fail(source, std::move(problems));
}

/// Changes the rows [first_row, ..) of a weight, which `values` holds.
void ChangeRows(const LoraAdapter& adapter, double strength, const std::string& name, std::int64_t first_row,
                std::size_t columns, std::span<float> values) {
  const auto first = static_cast<std::size_t>(first_row);
  if (const auto replaced = adapter.replaced.find(name); replaced != adapter.replaced.end()) {
    const float* target = replaced->second.values.data() + first * columns;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>((1 - strength) * values[i] + strength * target[i]);
  }
  const auto found = adapter.factors.find(name);
  if (found == adapter.factors.end()) return;
  const LoraAdapter::Factors& factors = found->second;
  const double scale = strength * factors.scale;
  const auto rank = static_cast<std::size_t>(factors.a.shape[0]);
  ParallelFor(values.size() / columns, 16, [&](std::size_t begin, std::size_t end) {
    std::vector<double> change(columns);
    for (std::size_t row = begin; row < end; ++row) {
      std::fill(change.begin(), change.end(), 0.0);
      for (std::size_t r = 0; r < rank; ++r) {
        const double b = factors.b.values[(first + row) * rank + r];
        for (std::size_t i = 0; i < columns; ++i) change[i] += b * factors.a.values[r * columns + i];
      }
      for (std::size_t i = 0; i < columns; ++i) {
        float& value = values[row * columns + i];
        value = static_cast<float>(value + scale * change[i]);
      }
    }
  });
}

class AdaptedWeights : public WeightSource {
 public:
  AdaptedWeights(std::unique_ptr<WeightSource> base, LoraAdapter adapter, double strength,
                 const std::string& source)
      : WeightSource(base->config()),
        base_(std::move(base)),
        adapter_(std::move(adapter)),
        strength_(strength),
        source_(source) {
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (TensorSpec& spec : ListTensors(config())) shapes[spec.name] = std::move(spec.shape);
    CheckFits(
        adapter_,
        [&](const std::string& name) {
          const auto found = shapes.find(name);
          return found == shapes.end() ? nullptr : &found->second;
        },
        source);
  }
  std::string Name() const override { return base_->Name() + "+" + source_; }
  std::string StoredType(const TensorSpec& spec) const override {
    return IsChanged(spec) ? "F32" : base_->StoredType(spec);
  }
  std::span<const std::byte> GgufBytes(const TensorSpec& spec) const override {
    return IsChanged(spec) ? std::span<const std::byte>() : base_->GgufBytes(spec);
  }
  std::optional<StoredRows> FindStoredRows(const TensorSpec& spec) const override {
    return IsChanged(spec) ? std::nullopt : base_->FindStoredRows(spec);
  }
  void Release(const TensorSpec& spec) const override { base_->Release(spec); }
  int TernaryGroup(const TensorSpec& spec) const override {
    return IsChanged(spec) ? 0 : base_->TernaryGroup(spec);
  }
  int TwoPlaneGroup(const TensorSpec& spec) const override {
    return IsChanged(spec) ? 0 : base_->TwoPlaneGroup(spec);
  }

 private:
  bool IsChanged(const TensorSpec& spec) const {
    return adapter_.factors.contains(spec.name) || adapter_.replaced.contains(spec.name);
  }
  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    base_->ReadRows(spec, first_row, out);
    ChangeRows(adapter_, strength_, spec.name, first_row, Columns(spec), out);
  }

  std::unique_ptr<WeightSource> base_;
  LoraAdapter adapter_;
  double strength_;
  std::string source_;
};

}  // namespace

LoraAdapter ReadLoraAdapter(const std::filesystem::path& folder) {
  const LoraConfig config = ReadLoraConfig(folder / "adapter_config.json");
  if (!std::filesystem::exists(folder / "adapter_model.safetensors") &&
      std::filesystem::exists(folder / "adapter_model.bin"))
    io::RefusePyTorchCheckpoint(folder / "adapter_model.bin");
  const io::SafetensorsFile file(folder / "adapter_model.safetensors");
  LoraAdapter adapter{.rank = config.rank, .factors = {}, .replaced = {}};
  std::vector<std::string> problems;
  ReadTensors(file, config, adapter, problems);
  CheckFactors(config, adapter, problems);
  if (!problems.empty()) Fail(folder.string(), std::move(problems));
  return adapter;
}

void AddLora(const LoraAdapter& adapter, double strength, ModelWeights& weights, const std::string& source) {
  CheckFits(
      adapter,
      [&](const std::string& name) {
        const auto found = weights.find(name);
        return found == weights.end() ? nullptr : &found->second.shape;
      },
      source);
  for (auto& [name, tensor] : weights)
    ChangeRows(adapter, strength, name, 0, static_cast<std::size_t>(tensor.shape.back()), tensor.values);
}

std::unique_ptr<WeightSource> AddLora(std::unique_ptr<WeightSource> base, LoraAdapter adapter,
                                      double strength, const std::string& source) {
  return std::make_unique<AdaptedWeights>(std::move(base), std::move(adapter), strength, source);
}

}  // namespace forge::model
