// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "train/engine.h"
#include "train/torch/tensor_model.h"

namespace forge::train {

/// Sum of all weights of a batch, in double; the loss of a step is divided by the sum over its micro-batches.
double TotalWeight(const TokenBatch& batch);

/// Sum of weight x term over the batch (TokenBatch says which terms). Logits are computed only at the
/// positions that have a weight. teacher may be null when the batch has no teacher weights.
at::Tensor WeightedLoss(const TensorModel& model, const TensorModel* teacher, const TokenBatch& batch,
                        const at::Device& device);

}  // namespace forge::train
