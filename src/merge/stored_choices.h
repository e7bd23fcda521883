// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "merge/mergekit_numerics.h"

namespace forge::merge {

/// Opens a safetensors file of choices that mergekit made: U8 tensors of 0 and 1, [n] of the merged tensor in
/// any shape, named MODEL/TENSOR or, for SCE's selection, select/TENSOR. MODEL is the last component of the
/// model's name, TENSOR the name in the result.
///   models  their names by TensorTask::Source::model
///
/// Opening reads names and types only. Throws Error(kInput) for a file that is no safetensors file, a tensor
/// of another type or of a MODEL that is not in `models`, and for choices of a model that shares its last
/// component with another. The answer throws it for a choice of another size and for a value that is neither
/// 0 nor 1. It may be called from several threads.
StoredChoices ReadStoredChoices(const std::filesystem::path& path, const std::vector<std::string>& models);

}  // namespace forge::merge
