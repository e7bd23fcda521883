// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "merge/tensor_task.h"

namespace forge::merge {

/// Choices that mergekit made and nobody can make again: bits of its random numbers, and which of equal
/// magnitudes it kept. From a file of --masks: names MODEL/TENSOR, or select/TENSOR for SCE.
///   model   index of the source; nothing for SCE's selection
///   returns [n], 0 or 1; nothing where the file has no choice for it
using StoredChoices = std::function<std::optional<std::vector<std::uint8_t>>(
    const TensorTask&, std::optional<std::size_t> source)>;

/// One tensor in mergekit 0.1.5's arithmetic: op by op, each result rounded to task.work_type, as torch 2.13
/// does it on a CPU. For parity, not for speed: needs several tensors of float32 in memory.
///   inputs [sources], each [n], already rounded to task.work_type; out [n], float32 values of out_type
/// `choices` may be empty: then equal magnitudes are kept by lower index, and random numbers are drawn from
/// Philox keyed by (seed, tensor, model), which is not what mergekit drew. Bits that are stored win.
/// Throws Error(kInput) where mergekit stops (DELLA's probabilities out of range, multislerp without a
/// direction).
void MergeTensorAsMergekit(const TensorTask& task, const std::vector<std::span<const float>>& inputs,
                           std::uint64_t seed, const StoredChoices& choices, std::span<float> out);

}  // namespace forge::merge
