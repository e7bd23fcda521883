// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "merge/vocabulary.h"
#include "model/weight_source.h"

namespace forge::merge {

/// models[index] with the vocabulary of the plan: embedding and head have plan.rows rows, each from where
/// plan.origins[index] says, computed as it is read; the other tensors are as they were. The config has the
/// new vocab_size, and bos, eos and pad have the ids of the same tokens; those that the result lacks are
/// gone.
///
/// Means are taken in double and rounded to float32. Rows of padding need the mean of all others: the first
/// one that is read costs a pass over the tensor. Plan and models must outlive it; the hidden sizes of models
/// that lend rows must be equal when they are read, which MakePlan checks.
std::unique_ptr<model::WeightSource> RemapVocabulary(const VocabularyPlan& plan,
                                                     const std::vector<const model::WeightSource*>& models,
                                                     std::size_t index);

}  // namespace forge::merge
