// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "merge/mergekit/rounding.h"
#include "merge/mergekit_numerics.h"

namespace forge::merge::mergekit {

/// What a method is given: the arguments of MergeTensorAsMergekit, and how to round.
struct Operands {
  const TensorTask& task;
  const std::vector<std::span<const float>>& inputs;  // [sources], each [n], n > 0
  std::uint64_t seed = 0;
  const StoredChoices& choices;  // may be empty
  Rounder round;                 // to task.work_type

  double Get(std::string_view parameter) const { return task.parameters.Get(parameter); }
  double Get(std::string_view parameter, std::size_t source) const {
    return task.parameters.Get(parameter, source);
  }
  std::size_t size() const { return inputs[0].size(); }

  bool has_base() const { return task.base >= 0; }
  /// Only with a base.
  std::span<const float> base() const { return inputs[static_cast<std::size_t>(task.base)]; }
  /// The sources that are not the base, in order.
  std::vector<std::size_t> models() const;
  /// A source minus the base, rounded. Only with a base.
  std::vector<float> Change(std::size_t source) const;
};

/// The vectors of a tensor along one of its dimensions: element e of vector v is at First(v) + e * stride.
struct Vectors {
  std::size_t count = 0, length = 0, stride = 1;
  std::size_t First(std::size_t vector) const { return vector / stride * stride * length + vector % stride; }
};
/// A tensor of no dimension has one vector of one element.
Vectors VectorsAlong(const std::vector<std::int64_t>& shape, std::size_t dimension);
/// Along the last dimension.
Vectors RowsOf(const std::vector<std::int64_t>& shape);

}  // namespace forge::merge::mergekit
