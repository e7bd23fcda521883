// SPDX-License-Identifier: Apache-2.0
#include "compress/secondary_export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"
#include "model/gguf_model.h"
#include "runtime/packed_file.h"

namespace forge::compress {
namespace {

namespace fs = std::filesystem;

}  // namespace

void ExportFloat16(const fs::path& path, const model::WeightSource& compressed,
                   const io::GgufMetadata& tokenizer, const std::string& model_name) {
  model::SaveGguf(
      path, compressed, [](const model::TensorSpec&) { return io::BlockType::kF16; }, tokenizer, model_name);
  const std::unique_ptr<model::WeightSource> written = model::OpenGguf(path);
  for (const model::TensorSpec& spec : model::ListTensors(compressed.config()))
    if (compressed.TernaryGroup(spec) != 0 && written->Read(spec) != compressed.Read(spec))
      throw Error({.kind = ErrorKind::kEnvironment,
                   .what = "the file " + path.string() + " is not what was written",
                   .why = spec.name + " has other values when it is read again",
                   .fix = "check the disk, and export again"});
}

std::map<std::string, model::BitnetLinear> RefitToTensors(const model::WeightSource& compressed,
                                                          io::FloatType type) {
  std::map<std::string, model::BitnetLinear> linears;
  std::vector<std::string> others;
  for (const model::TensorSpec& spec : model::ListTensors(compressed.config())) {
    if (!IsLinear(spec)) continue;
    if (compressed.TernaryGroup(spec) == 0) {
      others.push_back(spec.name);
      continue;
    }
    model::TernaryTensor tensor = compressed.ReadTernary(spec);
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < tensor.codes.size(); ++i) {
      if (tensor.codes[i] == 0) continue;
      sum += double{tensor.scales[i / static_cast<std::size_t>(tensor.group)]};
      ++count;
    }
    const float scale = count > 0 ? static_cast<float>(sum / count) : 1.0f;
    linears[spec.name] = {std::move(tensor.codes), model::BitnetStoredScale(scale, type)};
  }
  if (!others.empty())
    throw Error({.what = "cannot export this model in the bitnet layout",
                 .why = fmt::format("{} linears are not ternary, {} the first", others.size(), others[0]),
                 .fix = "compress with --tier strict"});
  return linears;
}

void ExportBitnet(const fs::path& path, const model::WeightSource& compressed,
                  const fs::path& tokenizer_source) {
  constexpr io::FloatType kType = io::FloatType::kBF16;
  const std::map<std::string, model::BitnetLinear> linears = RefitToTensors(compressed, kType);
  model::ModelWeights others;
  for (const model::TensorSpec& spec : model::ListTensors(compressed.config()))
    if (!IsLinear(spec)) others[spec.name] = compressed.Read(spec);
  model::SaveBitnetFolder(path, compressed.config(), others, linears, kType, tokenizer_source);
}

void ExportPacked(const fs::path& path, const model::WeightSource& compressed,
                  const runtime::PackOptions& options, const io::GgufMetadata& tokenizer,
                  const std::string& model_name) {
  runtime::SavePackedFile(path, runtime::PackWeights(compressed, options), tokenizer, model_name);
}

std::uint64_t BytesOnDisk(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

}  // namespace forge::compress
