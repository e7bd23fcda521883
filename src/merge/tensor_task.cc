// SPDX-License-Identifier: Apache-2.0
#include "merge/tensor_task.h"

#include "base/check.h"

namespace forge::merge {
namespace {

double Find(const TensorParameters::Values& values, std::string_view name) {
  const auto found = values.find(name);
  FORGE_CHECK(found != values.end());
  return found->second;
}

}  // namespace

double TensorParameters::Get(std::string_view name) const { return Find(shared, name); }

double TensorParameters::Get(std::string_view name, std::size_t source) const {
  return Find(of_source.at(source), name);
}

std::size_t TensorTask::size() const {
  std::size_t size = 1;
  for (const std::int64_t extent : shape) size *= static_cast<std::size_t>(extent);
  return size;
}

std::size_t TensorTask::columns() const { return shape.empty() ? 1 : static_cast<std::size_t>(shape.back()); }

}  // namespace forge::merge
