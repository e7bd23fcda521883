// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "merge/merge_config.h"
#include "merge/slice_plan.h"
#include "merge/tensor_task.h"

namespace forge::merge {

/// Findings that many tensors share: each said once, with the first tensor and how many more.
class Tally {
 public:
  void Add(const std::string& kind, std::string first_line);
  bool empty() const { return findings_.empty(); }
  /// "line", "line (and 17 more tensors)", in the order in which the kinds came.
  std::vector<std::string> Lines() const;

 private:
  struct Finding {
    std::string kind, line;
    int more = 0;
  };
  std::vector<Finding> findings_;
};

/// Resolves the parameters of one tensor after the other and collects what is wrong with them.
class ParameterPlan {
 public:
  explicit ParameterPlan(const MergeConfig& config) : config_(config) {}

  /// Fills task.parameters at t; name, sources, method and base of the task are set, and its sources are the
  /// first ones of the slice. A parameter that is missing has the value 0 and is noted.
  void Resolve(const SlicePlan& slice, double t, TensorTask& task);
  /// Throws Error(kInput) with all that was noted.
  void ThrowIfWrong() const;
  /// What works but may not be meant: extrapolation.
  std::vector<std::string> Notes() const { return notes_.Lines(); }

 private:
  double Find(const ParameterRule& rule, const SourceConfig* source, const SliceConfig& slice,
              const std::string& tensor, double t);
  void Check(const SliceConfig& slice, const TensorTask& task);
  void CheckSum(const SliceConfig& slice, const TensorTask& task);
  void CheckDella(const SliceConfig& slice, const TensorTask& task);

  const MergeConfig& config_;
  Tally missing_, wrong_, notes_;
  std::vector<std::string> fixes_;  // of what is missing
};

}  // namespace forge::merge
