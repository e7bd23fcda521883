// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "train/torch/decoder_layer.h"

namespace forge::train {

/// How far the relations between tokens in one layer are from the teacher's (MiniLMv2, arXiv:2012.15828,
/// section 3.1; BitDistill, arXiv:2510.13998). Of each of the query, key and value states
/// [rows, heads, length, head_dim] rows are scaled to length 1, R = softmax(A A^T / sqrt(head_dim)) relates a
/// token to itself and those before it in its document, and the loss is KL(R teacher || R student), the mean
/// over rows, heads and tokens, summed over the three. Differs from the papers: heads are the model's own,
/// queries and keys are taken as attention sees them, rotated, and no token relates to a later one.
struct RelationLoss {
  double loss = 0;
  std::vector<at::Tensor> gradients;  // by query, key and value of the student, float32
};
RelationLoss ComputeRelationLoss(const DecoderLayer::Tape& student, const DecoderLayer::Tape& teacher,
                                 const RowLayout& layout);

/// Adds the gradients to those of the main loss, scaled so that they have `share` of its norm over the three
/// states together: the two losses have no common unit. Returns the relation loss.
double AddRelationLoss(const DecoderLayer::Tape& student, const DecoderLayer::Tape& teacher,
                       const RowLayout& layout, double share, std::vector<at::Tensor>& gradients);

}  // namespace forge::train
