// SPDX-License-Identifier: Apache-2.0
#include "pipeline/tensor_reader.h"

#include <algorithm>

#include "base/check.h"

namespace forge::pipeline {
namespace {

constexpr std::uint64_t kMostMapped = 256 << 20, kReleaseBytes = 128 << 20;

model::TensorSpec SpecOf(const model::WeightSource& source, const std::string& name) {
  std::vector<model::TensorSpec> specs = model::ListTensors(source.config());
  const auto found =
      std::find_if(specs.begin(), specs.end(), [&](const auto& spec) { return spec.name == name; });
  FORGE_CHECK(found != specs.end());
  return *found;
}

}  // namespace

TensorReader::TensorReader(const std::vector<std::unique_ptr<model::WeightSource>>& models,
                           const merge::TensorTask& task)
    : task_(task), is_large_(task.sources.size() * task.size() * 2 > kMostMapped) {
  for (const merge::TensorTask::Source& from : task.sources) {
    const model::WeightSource& model = *models[static_cast<std::size_t>(from.model)];
    Source& source = sources_.emplace_back(&model, SpecOf(model, from.tensor));
    source.rows = model.FindStoredRows(source.spec);
    if (source.rows && (source.rows->type != io::BlockType::kBF16 || !source.rows->rows)) source.rows.reset();
  }
}

TensorReader::~TensorReader() { Release(); }

void TensorReader::Release() const {
  for (const Source& source : sources_)
    if (source.rows) source.model->Release(source.spec);
}

merge::SourceReader TensorReader::Read() {
  return [this](std::size_t source, std::size_t first, std::span<float> out) {
    const Source& from = sources_[source];
    from.model->ReadRows(from.spec, static_cast<std::int64_t>(first / task_.columns()), out);
  };
}

merge::StoredReader TensorReader::Find() {
  return [this](std::size_t source, std::size_t first, std::size_t size) {
    const std::optional<model::StoredRows>& rows = sources_[source].rows;
    if (!rows) return merge::Values{};
    const std::size_t columns = task_.columns();
    const auto bytes =
        rows->rows(static_cast<std::int64_t>(first / columns), static_cast<std::int64_t>(size / columns));
    if (is_large_) {
      const std::uint64_t before = found_bytes_.fetch_add(bytes.size());
      // Others that still read let the pages come back.
      if (before / kReleaseBytes != (before + bytes.size()) / kReleaseBytes) Release();
    }
    return merge::Values{bytes.data(), true};
  };
}

}  // namespace forge::pipeline
