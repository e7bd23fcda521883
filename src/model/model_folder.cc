// SPDX-License-Identifier: Apache-2.0
#include "model/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/float_arrays.h"
#include "io/safetensors_folder.h"
#include "model/architecture.h"
#include "model/bitnet_folder.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",    "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja",   "vocab.json",      "merges.txt"};

bool IsIgnored(const std::string& name, const ModelConfig& config) {
  return (config.tie_word_embeddings && name == "lm_head.weight") || name.ends_with(".rotary_emb.inv_freq");
}

class FolderWeights : public WeightSource {
 public:
  explicit FolderWeights(const fs::path& path)
      : WeightSource(ReadModelConfig(path / "config.json")), path_(path), files_(path) {
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const auto& [name, item] : files_.items())
      if (!IsIgnored(name, config())) shapes[name] = item.entry->shape;
    CheckTensorShapes(config(), shapes, path.string());
  }
  std::string Name() const override { return path_.string(); }
  std::string StoredType(const TensorSpec& spec) const override {
    return files_.items().at(spec.name).entry->dtype;
  }

  std::optional<StoredRows> FindStoredRows(const TensorSpec& spec) const override {
    const auto& [file, item] = files_.items().at(spec.name);
    const io::SafetensorsFile::Entry& entry = *item;
    const std::optional<io::BlockType> type = io::FindBlockType(entry.dtype);
    if (!type) return std::nullopt;  // F64
    const std::size_t bytes = io::RowBytes(*type, Columns(spec));
    return StoredRows{
        .type = *type,
        .row =
            [this, spec, &entry, type, bytes](std::int64_t row) {
              return CheckedRows(spec, row, *type,
                                 entry.bytes.subspan(static_cast<std::size_t>(row) * bytes, bytes));
            },
        .copy =
            [this, spec, &file = *file, &entry, type, bytes](std::int64_t first, std::span<std::byte> out) {
              file.Copy(entry.bytes.subspan(static_cast<std::size_t>(first) * bytes, out.size()), out.data());
              CheckedRows(spec, first, *type, out);
            }};
  }
  void Release(const TensorSpec& spec) const override {
    const auto& [file, entry] = files_.items().at(spec.name);
    file->Release(entry->bytes);
  }

 private:
  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    const auto& [file, entry] = files_.items().at(spec.name);
    const std::size_t first = static_cast<std::size_t>(first_row) * Columns(spec);
    file->ReadFloats(*entry, first, out);
    const std::size_t element_bytes = entry->bytes.size() / entry->size();
    file->Release(entry->bytes.subspan(first * element_bytes, out.size() * element_bytes));
  }
  fs::path path_;
  io::SafetensorsFolder files_;
};

Json GenerationJson(const ModelConfig& config) {
  Json json = {{"_from_model_config", true}};
  if (config.bos_token_id >= 0) json["bos_token_id"] = config.bos_token_id;
  if (config.pad_token_id >= 0) json["pad_token_id"] = config.pad_token_id;
  if (config.eos_token_ids.size() == 1) json["eos_token_id"] = config.eos_token_ids[0];
  if (config.eos_token_ids.size() > 1) json["eos_token_id"] = config.eos_token_ids;
  return json;
}

}  // namespace

ModelConfig ReadModelConfig(const fs::path& config_json) {
  ModelConfig config =
      ParseModelConfig(io::ReadJsonFile(config_json, io::kConfigLimits), config_json.string());
  const fs::path generation = config_json.parent_path() / "generation_config.json";
  if (!fs::exists(generation)) return config;
  const Json json = io::ReadJsonFile(generation, io::kConfigLimits);
  if (!json.is_object() || !json.contains("eos_token_id") || json["eos_token_id"].is_null()) return config;
  std::vector<int> ids;
  const Json& eos = json["eos_token_id"];
  for (const Json& id : eos.is_array() ? eos : Json::array({eos})) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= config.vocab_size)
      throw Error({.kind = ErrorKind::kInput,
                   .what = "cannot use " + generation.string(),
                   .why = fmt::format("eos_token_id {} is not a token from 0 to {}", id.dump(),
                                      config.vocab_size - 1),
                   .fix = "correct eos_token_id, or remove the file"});
    ids.push_back(id.get<int>());
  }
  config.eos_token_ids = ids;
  return config;
}

std::unique_ptr<WeightSource> OpenModelFolder(const fs::path& path) {
  const Json json = io::ReadJsonFile(path / "config.json", io::kConfigLimits);
  if (json.is_object() && IsBitnetConfig(json, (path / "config.json").string()))
    return OpenBitnetFolder(path);
  return std::make_unique<FolderWeights>(path);
}

ModelFolder LoadModelFolder(const fs::path& path) {
  const std::unique_ptr<WeightSource> weights = OpenModelFolder(path);
  return {.config = weights->config(),
          .weights = weights->ReadAll(),
          .config_json = io::ReadJsonFile(path / "config.json", io::kConfigLimits),
          .path = path};
}

void CopyTokenizerFiles(const fs::path& from, const fs::path& to) {
  for (const char* name : kTokenizerFiles)
    if (fs::exists(from / name)) io::WriteFileAtomically(to / name, io::ReadFile(from / name));
}

void CheckRange(std::span<const float> values, io::FloatType type, const std::string& tensor,
                const std::string& source) {
  if (type == io::FloatType::kF32) return;
  const bool is_half = type == io::FloatType::kF16;
  const float largest = io::LargestOf(type);
  const auto large =
      std::find_if(values.begin(), values.end(), [&](float value) { return std::fabs(value) > largest; });
  if (large == values.end()) return;
  throw Error({.kind = ErrorKind::kInput,
               .what = fmt::format("cannot store {} of {}", tensor, source),
               .why = fmt::format("it holds {:g}; {} ends at {:g}", *large,
                                  is_half ? "float16, also as the scale of a block," : "bfloat16", largest),
               .fix = is_half ? "give the type bf16 or f32" : "give the type f32"});
}

void WriteConfigFiles(const fs::path& folder, const ModelConfig& config, io::FloatType type) {
  CheckConfig(config, folder.string());
  if (config.attention_bias && !FindArchitecture(config.model_type)->has_qkv_bias)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot write " + folder.string(),
                 .why = fmt::format(
                     "the model has biases on q, k and v only; a {} folder would have one on o_proj too",
                     config.model_type),
                 .fix = "keep it as a GGUF file"});
  io::WriteJsonFile(folder / "config.json", ToConfigJson(config, type));
  io::WriteJsonFile(folder / "generation_config.json", GenerationJson(config));
}

void SaveModelFolder(const fs::path& path, const WeightSource& weights, const SaveOptions& options) {
  const ModelConfig& config = weights.config();
  io::AtomicFolder folder(path, options.replace);
  WriteConfigFiles(folder.path(), config, options.type);
  std::vector<TensorSpec> specs = ListTensors(config);
  std::sort(specs.begin(), specs.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<io::TensorShape> shapes;
  for (const TensorSpec& spec : specs) shapes.push_back({spec.name, spec.shape});
  io::SafetensorsWriter writer(folder.path(), std::move(shapes), options.type, options.max_shard_bytes);
  for (const TensorSpec& spec : specs)
    VisitRows(weights, spec, 1, [&](std::span<const float> values) {
      CheckRange(values, options.type, spec.name, weights.Name());
      writer.Write(values);
    });
  writer.Finish();
  if (!options.tokenizer_source.empty()) CopyTokenizerFiles(options.tokenizer_source, folder.path());
  folder.Commit();
}

void SaveModelFolder(const fs::path& path, const ModelConfig& config, const ModelWeights& weights,
                     io::FloatType type, const fs::path& tokenizer_source, bool replace) {
  CheckConfig(config, path.string());
  SaveModelFolder(path, *WeightsInMemory(config, weights),
                  {.type = type, .tokenizer_source = tokenizer_source, .replace = replace});
}

}  // namespace forge::model
