// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "merge/merge_config.h"
#include "merge/tensor_task.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace forge::merge {

struct PlanOptions {
  /// Plan as mergekit 0.1.5 does, also where it is odd: final norm and head take only as many of the last
  /// slice's sources as the first slice has; arcee_fusion and ramplus_tl give float32 unless out_dtype is
  /// set; models that use positions or norms differently are merged with a note. One thing is refused in
  /// both: a model with a tied head beside one with its own, for which mergekit writes a head that its config
  /// says is not there.
  bool mergekit_numerics = false;
};

/// Everything that a merge will do, decided before the first weight is read.
struct MergePlan {
  std::vector<std::string> models;  // ModelsOf the config
  int config_model = 0;  // whose config, tokenizer and template the result takes: base_model, else the first
  model::ModelConfig config;        // of the result
  std::vector<TensorTask> tensors;  // in the order of model::ListTensors(config)
  std::vector<std::string> notes;   // what the user may not expect, a sentence each
};

/// Plans a merge of models[i], which is what ModelsOf(config)[i] names. The models must be of one vocabulary:
/// where theirs differ, they come through RemapVocabulary (merge/remapped_vocabulary.h).
///
/// A layer at index i of a slice of L layers takes the gradients at t = i / (L - 1), at 1 if L is 1; the
/// tensors outside the layers take them at 0, the embedding from the first slice, final norm and head from
/// the last. A parameter is looked up beside the model, in the slice, in the module and in the merge; those
/// that each model has by the name of its tensor, shared ones by the name in the result.
///
/// Throws Error(kInput), each time with everything of its kind: slices that are wrong (layers that a model
/// does not have, unequal lengths, a model twice, too few or too many models, no base); models that differ in
/// shape or in what they compute; parameters that are missing; parameters that together make no sense
/// (weights that sum to zero where they are divided by it, DELLA's probabilities outside (0, 1)).
MergePlan MakePlan(const MergeConfig& config, const std::vector<const model::WeightSource*>& models,
                   const PlanOptions& options = {});

}  // namespace forge::merge
