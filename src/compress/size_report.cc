// SPDX-License-Identifier: Apache-2.0
#include "compress/size_report.h"

#include <set>

#include "base/check.h"
#include "compress/ternary_training.h"
#include "io/gguf_size.h"
#include "io/safetensors_layout.h"
#include "model/gguf_model.h"
#include "model/gguf_size.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

namespace fs = std::filesystem;

/// A file that is only there to be measured. Its name is always the same, so that what a killed process left
/// is written over.
class ProbeFile {
 public:
  ProbeFile(const fs::path& near, const char* ending) : path_(near.string() + ".probe." + ending) {}
  ~ProbeFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

FileSize MeasureGguf(const fs::path& path, const model::ModelConfig& config) {
  const io::GgufFile file(path);
  FileSize size{.total = fs::file_size(path)};
  std::int64_t linear_weights = 0;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    const io::GgufFile::Entry* entry = file.Find(model::GgufName(spec.name));
    FORGE_CHECK(entry != nullptr);
    (IsLinear(spec) ? size.linears : IsTable(spec) ? size.tables : size.vectors) += entry->bytes.size();
    const io::GgufFile::Entry* second = file.Find(model::GgufName(spec.name) + model::kSecondPlane);
    if (second != nullptr) size.linears += second->bytes.size();
    if (IsTable(spec)) size.table_types[spec.name] = io::BlockTypeName(entry->type_id);
    if (IsLinear(spec)) linear_weights += spec.shape[0] * spec.shape[1];
  }
  size.metadata = size.total - size.linears - size.tables - size.vectors;
  size.linear_bits_per_weight = 8.0 * static_cast<double>(size.linears) / static_cast<double>(linear_weights);
  size.bits_per_weight =
      8.0 * static_cast<double>(size.total) / static_cast<double>(model::CountParameters(config));
  return size;
}

std::uint64_t BytesBesideMatrices(const model::ModelConfig& config, const io::GgufMetadata& tokenizer,
                                  const std::string& model_name) {
  constexpr io::BlockType kAny = io::BlockType::kF16;  // one with a general.file_type, which not all have
  std::uint64_t bytes = model::GgufBytes(
      config, [](const model::TensorSpec&) { return kAny; }, tokenizer, model_name);
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (IsLinear(spec) || IsTable(spec)) bytes -= io::PaddedTensorBytes({spec.name, spec.shape, kAny});
  return bytes;
}

std::uint64_t Float16Bytes(const model::ModelConfig& config) {
  std::vector<io::StoredShape> tensors;
  std::uint64_t bytes = 0;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    tensors.push_back({spec.name, spec.shape, io::FloatType::kF16});
    bytes += tensors.back().bytes();
  }
  return bytes + io::SafetensorsHeader(tensors).size();
}

std::optional<Baseline> MeasureBaseline(io::BlockType linear_type, const fs::path& near,
                                        const model::WeightSource& weights, const io::GgufMetadata& tokenizer,
                                        const Evaluation& evaluate) {
  const model::ModelConfig& config = weights.config();
  const auto type_of = [&](const model::TensorSpec& spec) {
    if (!IsLinear(spec)) return io::BlockType::kQ8_0;
    const bool falls_back = linear_type == io::BlockType::kQ4_K && spec.shape[1] % 256 != 0;
    return falls_back ? io::BlockType::kQ5_0 : linear_type;
  };
  Baseline baseline{.name = {}, .size = {}, .scores = {}};
  std::set<io::BlockType> types;  // of the linears
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    if (!IsLinear(spec) && !IsTable(spec)) continue;
    const io::BlockType type = type_of(spec);
    if (spec.shape[1] % static_cast<std::int64_t>(io::Info(type).elements) != 0) return std::nullopt;
    if (IsLinear(spec)) types.insert(type);
  }
  for (const io::BlockType type : types)
    baseline.name += (baseline.name.empty() ? "" : " and ") + std::string(io::Info(type).name);
  const ProbeFile file(near, "gguf");
  model::SaveGguf(file.path(), weights, type_of, tokenizer, baseline.name);
  baseline.size = MeasureGguf(file.path(), config);
  if (!evaluate) return baseline;
  runtime::NativeModel rounded(runtime::PackWeights(*model::OpenGguf(file.path()), {}));
  baseline.scores = evaluate(rounded);
  return baseline;
}

}  // namespace forge::compress
