// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/float_type.h"
#include "merge/method_table.h"

namespace forge::merge {

class MagnitudeTable;

/// The parameters of one tensor, resolved: every rule of the method has a value here.
struct TensorParameters {
  using Values = std::map<std::string, double, std::less<>>;
  Values shared;
  std::vector<Values> of_source;  // [sources]; empty for the base of a method in which it has a role

  /// Both are bugs for a name that the method does not have.
  double Get(std::string_view name) const;
  double Get(std::string_view name, std::size_t source) const;
};

/// How one tensor of the result is made.
struct TensorTask {
  struct Source {
    int model = 0;       // index into MergePlan::models
    std::string tensor;  // its name there
  };
  std::string name;                 // in the result
  std::vector<std::int64_t> shape;  // of the result and of every source
  int layer = -1;                   // in the result; -1: in none
  const MethodInfo* method = nullptr;
  std::vector<Source> sources;
  int base = -1;  // index into sources; -1: none, or one without a role (BaseRole::kNone)
  TensorParameters parameters;
  /// [sources], or empty: what is known of each one's change from the base, or null. Changes no result.
  std::vector<const MagnitudeTable*> magnitudes = {};
  /// What mergekit's numerics compute in: `dtype` of the config, or what torch's promotion makes of the
  /// stored types. The exact numerics compute in float32.
  io::FloatType work_type = io::FloatType::kF32;
  io::FloatType out_type = io::FloatType::kF32;

  std::size_t size() const;     // elements
  std::size_t columns() const;  // the last dimension; a vector is one row
};

}  // namespace forge::merge
