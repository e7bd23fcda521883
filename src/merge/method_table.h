// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge::merge {

/// How a method treats the model that `base_model` names. kNone: as one more input. kOptional: with a base
/// it works on the changes to it. kRequired: it is defined by a base.
enum class BaseRole { kNone, kOptional, kRequired };

/// Which formulas a method is made of: one streaming implementation serves a family (merge/exact).
enum class MethodFamily {
  kLinearCombination,  // per tensor, or per row, one coefficient a model: linear, slerp, karcher, model stock
  kTaskArithmetic,     // sparsify, vote, combine: task arithmetic, TIES, DARE, Breadcrumbs, DELLA
  kElementwise  // a formula per element, after statistics of the tensor: SCE, RAM, nearswap, Arcee fusion
};

/// A setting of a method, under mergekit's key. Flags are 0 and 1.
struct ParameterRule {
  enum class Type { kNumber, kInteger, kFlag };
  std::string name;
  Type type = Type::kNumber;
  bool per_model = false;  // looked up once for each model but the base, else once for the tensor
  std::optional<double> default_value;  // nothing: it must be given
  double low = 0, high = 0;             // both included
  std::string help;
};

/// One merge method of mergekit 0.1.5 (https://github.com/arcee-ai/mergekit).
struct MethodInfo {
  std::string name;     // mergekit's: "dare_ties"
  std::string summary;  // one sentence
  std::string source;   // paper with its number, or who made it
  MethodFamily family;
  BaseRole base = BaseRole::kNone;
  int min_models = 1, max_models = 0;  // without the base where it has a role; 0: any number
  std::vector<ParameterRule> parameters;

  /// nullptr if the method has no such parameter.
  const ParameterRule* Find(std::string_view parameter) const;
};

/// All of them, by name. What `forge merge --methods` lists, what configs are checked against, and what the
/// engines are registered under: a method that is not here does not exist.
const std::vector<MethodInfo>& MethodTable();
/// nullptr if there is none of that name.
const MethodInfo* FindMethod(std::string_view name);
/// Throws Error(kInput) with the nearest name.
const MethodInfo& GetMethod(std::string_view name, const std::string& source);

}  // namespace forge::merge
