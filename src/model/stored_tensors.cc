// SPDX-License-Identifier: Apache-2.0
#include "model/stored_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "io/safetensors_folder.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;

StoredModel ReadFolder(const fs::path& path) {
  StoredModel model{.config = OpenModelFolder(path)->config(), .tensors = {}, .files = {}};
  const io::SafetensorsFolder folder(path);
  for (TensorSpec& spec : ListTensors(model.config)) {
    const io::SafetensorsFile::Entry& entry = *folder.items().at(spec.name).entry;
    model.tensors.push_back({std::move(spec), entry.name, entry.dtype, entry.bytes.size()});
  }
  for (const auto& [name, file] : folder.files()) model.files.push_back(path / name);
  return model;
}

StoredModel ReadGguf(const fs::path& path) {
  StoredModel model{.config = OpenGguf(path)->config(), .tensors = {}, .files = {path}};
  const io::GgufFile file(path);
  for (TensorSpec& spec : ListTensors(model.config)) {
    const io::GgufFile::Entry& entry = *file.Find(GgufName(spec.name));
    model.tensors.push_back(
        {std::move(spec), entry.name, io::BlockTypeName(entry.type_id), entry.bytes.size()});
  }
  return model;
}

}  // namespace

StoredModel ReadStoredModel(const fs::path& path) {
  return fs::is_directory(path) ? ReadFolder(path) : ReadGguf(path);
}

const char* Name(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
      return "embedding";
    case TensorRole::kHead:
      return "head";
    case TensorRole::kNorm:
      return "norm";
    case TensorRole::kAttentionLinear:
      return "attention";
    case TensorRole::kAttentionBias:
      return "bias";
    case TensorRole::kMlpLinear:
      return "mlp";
  }
  return "";
}

std::string LinearTypes(const StoredModel& model) {
  std::set<std::string> types;
  for (const StoredTensor& tensor : model.tensors)
    if (IsLinear(tensor.spec)) types.insert(tensor.type);
  return fmt::format("{}", fmt::join(types, ", "));
}

}  // namespace forge::model
