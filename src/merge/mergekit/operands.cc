// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

std::vector<std::size_t> Operands::models() const {
  std::vector<std::size_t> models;
  for (std::size_t source = 0; source < inputs.size(); ++source)
    if (static_cast<int>(source) != task.base) models.push_back(source);
  return models;
}

std::vector<float> Operands::Change(std::size_t source) const {
  std::vector<float> change(size());
  for (std::size_t i = 0; i < change.size(); ++i) change[i] = round(inputs[source][i] - base()[i]);
  return change;
}

Vectors VectorsAlong(const std::vector<std::int64_t>& shape, std::size_t dimension) {
  Vectors vectors{.count = 1, .length = 1};
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const auto extent = static_cast<std::size_t>(shape[d]);
    (d == dimension ? vectors.length : vectors.count) *= extent;
    if (d > dimension) vectors.stride *= extent;
  }
  return vectors;
}

Vectors RowsOf(const std::vector<std::int64_t>& shape) {
  return VectorsAlong(shape, shape.empty() ? 0 : shape.size() - 1);
}

}  // namespace forge::merge::mergekit
