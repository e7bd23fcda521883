// SPDX-License-Identifier: Apache-2.0
#include "pipeline/tensor_reader.h"

#include "base/thread_pool.h"

namespace forge::pipeline {
namespace {

constexpr std::size_t kElementBytes = 2;  // of bfloat16

}  // namespace

TensorReader::TensorReader(const std::vector<std::unique_ptr<model::WeightSource>>& models)
    : models_(models) {
  for (const auto& model : models) {
    std::map<std::string, model::TensorSpec>& specs = specs_.emplace_back();
    for (model::TensorSpec& spec : model::ListTensors(model->config())) specs.emplace(spec.name, spec);
  }
}

void TensorReader::Open(const merge::TensorTask& task, bool may_keep) {
  task_ = &task;
  sources_.clear();
  const std::size_t bytes = task.sources.size() * task.size() * kElementBytes;
  keeps_ = may_keep && bytes <= kMostKept / static_cast<std::size_t>(ThreadPool::Global().num_threads());
  for (const merge::TensorTask::Source& from : task.sources) {
    const auto m = static_cast<std::size_t>(from.model);
    Source& source = sources_.emplace_back(models_[m].get(), &specs_[m].at(from.tensor));
    source.rows = source.model->FindStoredRows(*source.spec);
    if (source.rows && (source.rows->type != io::BlockType::kBF16 || !source.rows->copy)) source.rows.reset();
    if (keeps_ && source.rows) source.kept.assign(task.size() / task.columns(), 0);
  }
}

merge::SourceReader TensorReader::Read() {
  return [this](std::size_t source, std::size_t first, std::span<float> out) {
    const Source& from = sources_[source];
    from.model->ReadRows(*from.spec, static_cast<std::int64_t>(first / task_->columns()), out);
  };
}

merge::StoredReader TensorReader::Find() {
  const std::size_t all = sources_.size() * task_->size() * kElementBytes;
  if (keeps_ && kept_.size() < all) {
    kept_ = HugeMemory();  // the old one goes before the new one comes
    kept_ = HugeMemory(all);
  }
  return [this](std::size_t source, std::size_t first, std::size_t size, bool again) {
    Source& from = sources_[source];
    if (!from.rows) return merge::Values{};
    const std::size_t row = first / task_->columns(), bytes = size * kElementBytes;
    std::byte* place = PlaceOf(source, first, size, again);
    if (keeps_ && from.kept[row] >= size) return merge::Values{place, true};
    from.rows->copy(static_cast<std::int64_t>(row), {place, bytes});
    if (keeps_ && again) from.kept[row] = static_cast<std::uint32_t>(size);
    return merge::Values{place, true};
  };
}

/// Where a piece is or comes to be: among what is kept, or in a buffer of the thread.
std::byte* TensorReader::PlaceOf(std::size_t source, std::size_t first, std::size_t size, bool again) {
  if (keeps_ && (again || sources_[source].kept[first / task_->columns()] >= size))
    return kept_.data() + (source * task_->size() + first) * kElementBytes;
  thread_local std::vector<std::vector<std::byte>> buffers;
  if (buffers.size() <= source) buffers.resize(source + 1);
  if (buffers[source].size() < size * kElementBytes) buffers[source].resize(size * kElementBytes);
  return buffers[source].data();
}

}  // namespace forge::pipeline
