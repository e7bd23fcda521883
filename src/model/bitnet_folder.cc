// SPDX-License-Identifier: Apache-2.0
#include "model/bitnet_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "io/float_arrays.h"
#include "io/safetensors_folder.h"
#include "io/safetensors_writer.h"
#include "model/model_folder.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kScale = "_scale";

std::string TextOf(const Json& json, const char* key, const char* standard) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : standard;
}

[[noreturn]] void Refuse(const std::string& source, std::string why) {
  throw Error({.what = "cannot use the model of " + source,
               .why = std::move(why),
               .fix = "export the model with linear_class \"bitlinear\", or use its unquantised weights"});
}

class BitnetWeights : public WeightSource {
 public:
  explicit BitnetWeights(const fs::path& path)
      : WeightSource(ReadModelConfig(path / "config.json")), path_(path), files_(path) {
    const Json json = io::ReadJsonFile(path / "config.json", io::kConfigLimits);
    divides_ = TextOf(json["quantization_config"], "linear_class", "bitlinear") == "bitlinear";
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const auto& [name, item] : files_.items()) {
      if (config().tie_word_embeddings && name == "lm_head.weight") continue;
      if (name.ends_with(kScale) && IsPacked(name.substr(0, name.size() - std::string(kScale).size())))
        continue;
      std::vector<std::int64_t> shape = item.entry->shape;
      if (IsPacked(name) && !shape.empty()) shape[0] *= 4;
      shapes[name] = std::move(shape);
    }
    CheckTensorShapes(config(), shapes, path.string());
    for (const auto& [name, shape] : shapes)
      if (IsPacked(name)) scales_[name] = ReadScale(name);
  }
  std::string Name() const override { return path_.string(); }
  std::string StoredType(const TensorSpec& spec) const override { return EntryOf(spec).dtype; }
  void Release(const TensorSpec& spec) const override {
    files_.items().at(spec.name).file->Release(EntryOf(spec).bytes);
  }

 private:
  bool IsPacked(const std::string& name) const {
    const auto found = files_.items().find(name);
    return found != files_.items().end() && found->second.entry->dtype == "U8";
  }
  const io::SafetensorsFile::Entry& EntryOf(const TensorSpec& spec) const {
    return *files_.items().at(spec.name).entry;
  }

  float ReadScale(const std::string& name) const {
    const auto found = files_.items().find(name + kScale);
    if (found == files_.items().end() || found->second.entry->size() != 1)
      Refuse(path_.string(), fmt::format("{} has no {}{} of one element", name, name, kScale));
    float stored = 0;
    found->second.file->ReadFloats(*found->second.entry, std::span(&stored, 1));
    const float scale = divides_ ? 1 / stored : stored;
    if (!std::isfinite(scale) || scale <= 0)
      Refuse(path_.string(), fmt::format("{}{} is {:g}", name, kScale, stored));
    return scale;
  }

  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    const auto& [file, entry] = files_.items().at(spec.name);
    const std::size_t columns = Columns(spec);
    if (!IsPacked(spec.name))
      return file->ReadFloats(*entry, static_cast<std::size_t>(first_row) * columns, out);
    const auto quarter = static_cast<std::size_t>(Rows(spec) / 4);
    const float scale = scales_.at(spec.name);
    for (std::size_t i = 0; i < out.size() / columns; ++i) {
      const std::size_t row = static_cast<std::size_t>(first_row) + i, shift = 2 * (row / quarter);
      const std::byte* packed = entry->bytes.data() + row % quarter * columns;
      for (std::size_t c = 0; c < columns; ++c) {
        const int code = (static_cast<int>(packed[c]) >> shift & 3) - 1;
        if (code == 2)
          Refuse(path_.string(), fmt::format("{} has the code 3 at row {}, column {}", spec.name, row, c));
        out[i * columns + c] = static_cast<float>(code) * scale;
      }
    }
  }

  fs::path path_;
  io::SafetensorsFolder files_;
  bool divides_ = true;
  std::map<std::string, float> scales_;
};

}  // namespace

std::vector<std::uint8_t> PackBitnet(std::span<const std::int8_t> codes, std::int64_t out, std::int64_t in) {
  FORGE_CHECK(out % 4 == 0 && codes.size() == static_cast<std::size_t>(out * in));
  const std::size_t quarter = codes.size() / 4;
  std::vector<std::uint8_t> packed(quarter);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t k = 0; k < quarter; ++k)
      packed[k] = static_cast<std::uint8_t>(packed[k] | (codes[i * quarter + k] + 1) << (2 * i));
  return packed;
}

bool IsBitnetConfig(const Json& config_json, const std::string& source) {
  const auto found = config_json.find("quantization_config");
  if (found == config_json.end() || !found->is_object() || TextOf(*found, "quant_method", "") != "bitnet")
    return false;
  const std::string linear_class = TextOf(*found, "linear_class", "bitlinear"),
                    mode = TextOf(*found, "quantization_mode", "offline");
  if (linear_class != "bitlinear" && linear_class != "autobitlinear")
    Refuse(source,
           fmt::format("linear_class is \"{}\"; forge reads bitlinear and autobitlinear", linear_class));
  if (linear_class == "autobitlinear" && mode != "offline")
    Refuse(source,
           fmt::format("quantization_mode is \"{}\": the weights are rounded anew at each step", mode));
  if (found->value("use_rms_norm", false)) Refuse(source, "use_rms_norm puts a norm into each linear");
  return true;
}

std::unique_ptr<WeightSource> OpenBitnetFolder(const fs::path& path) {
  return std::make_unique<BitnetWeights>(path);
}

float BitnetStoredScale(float scale, io::FloatType type) {
  float inverse = 1 / scale;
  std::byte bytes[4];
  io::NarrowFloats({&inverse, 1}, type, bytes);
  io::WidenFloats({bytes, io::BytesOf(type)}, type, {&inverse, 1});
  return 1 / inverse;
}

void SaveBitnetFolder(const fs::path& path, const ModelConfig& config, const ModelWeights& weights,
                      const std::map<std::string, BitnetLinear>& linears, io::FloatType type,
                      const fs::path& tokenizer_source) {
  io::AtomicFolder folder(path, false);
  WriteConfigFiles(folder.path(), config, type);
  Json json = io::ReadJsonFile(folder.path() / "config.json", io::kConfigLimits);
  json["quantization_config"] = {{"quant_method", "bitnet"},       {"linear_class", "bitlinear"},
                                 {"quantization_mode", "offline"}, {"modules_to_not_convert", {"lm_head"}},
                                 {"use_rms_norm", false},          {"rms_norm_eps", 1e-6}};
  io::WriteJsonFile(folder.path() / "config.json", json);
  std::vector<io::RawTensor> tensors;
  for (const TensorSpec& spec : ListTensors(config)) {
    const auto linear = linears.find(spec.name);
    if (linear == linears.end()) {
      tensors.push_back(io::ToRaw(spec.name, spec.shape, weights.at(spec.name).values, type));
      continue;
    }
    if (spec.shape[0] % 4 != 0)
      throw Error({.what = "cannot store " + spec.name + " in the bitnet layout",
                   .why = fmt::format("it has {} rows; four rows share a byte", spec.shape[0]),
                   .fix = "export a GGUF file instead"});
    const std::vector<std::uint8_t> packed = PackBitnet(linear->second.codes, spec.shape[0], spec.shape[1]);
    const auto bytes = std::as_bytes(std::span(packed));
    tensors.push_back({spec.name, "U8", {spec.shape[0] / 4, spec.shape[1]}, {bytes.begin(), bytes.end()}});
    const float inverse = 1 / linear->second.scale;
    tensors.push_back(io::ToRaw(spec.name + kScale, {1}, {&inverse, 1}, type));
  }
  io::WriteRawSafetensors(folder.path() / "model.safetensors", std::move(tensors));
  if (!tokenizer_source.empty()) CopyTokenizerFiles(tokenizer_source, folder.path());
  folder.Commit();
}

}  // namespace forge::model
