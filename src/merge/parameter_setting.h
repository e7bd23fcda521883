// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_file.h"
#include "merge/config_problems.h"
#include "merge/method_table.h"

namespace forge::merge {

/// A value along the layers of a slice.
struct Gradient {
  std::vector<double> points;  // one or more
  bool is_stepped = false;     // flags: one of the points, never between two

  /// The value at t in [0, 1]: between the points beside t * (points - 1), linearly; stepped: point
  /// floor(t * (points - 1)). One point is the value everywhere.
  double At(double t) const;
};

/// A parameter as a config writes it: `0.5`, `[0, 0.5, 1]`, or a list of {filter, value}.
struct ParameterSetting {
  struct Choice {
    std::string filter;  // part of a tensor's name; "" and "*": every tensor
    Gradient value;
  };
  std::vector<Choice> choices;  // one or more
};

/// The value for a tensor at t in [0, 1], from the first choice whose filter is part of the name; nothing if
/// none is.
std::optional<double> Resolve(const ParameterSetting& setting, std::string_view tensor, double t);

/// Settings by the names of parameters.
using Parameters = std::map<std::string, ParameterSetting, std::less<>>;

/// The first of the scopes, the narrowest first, that has a value for the parameter and the tensor; nothing
/// if none has. A scope may be nullptr.
std::optional<double> Lookup(std::string_view parameter, const std::vector<const Parameters*>& scopes,
                             std::string_view tensor, double t);

/// Where a `parameters:` stands. Beside a model only those that each model has may be given: mergekit reads
/// the others in no model and says nothing.
enum class ParameterScope { kModel, kShared };

/// Reads a `parameters:`. Notes parameters that the method does not have, with the methods that do or the
/// nearest name, and values of a wrong type or out of the rule's range. `method` nullptr: it is not known, so
/// nothing is read.
Parameters ReadParameters(const io::Json& json, const std::string& path, const MethodInfo* method,
                          ParameterScope scope, ConfigProblems& problems);

}  // namespace forge::merge
