// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "train/torch/adamw.h"

namespace forge::train {

/// Writes parameters, both moments and the number of finished steps as one safetensors file, atomically.
/// Batches and random numbers are pure functions of (seed, step), so nothing else is needed to go on exactly.
void SaveCheckpoint(const std::filesystem::path& path, std::string_view fingerprint, int finished_steps,
                    std::vector<AdamW::Group>& groups);

/// Reads it back into the groups; returns the number of finished steps. nullopt if there is no file, or if it
/// belongs to another job (fingerprint, names or shapes differ): the job then starts from its beginning.
std::optional<int> LoadCheckpoint(const std::filesystem::path& path, std::string_view fingerprint,
                                  std::vector<AdamW::Group>& groups);

}  // namespace forge::train
