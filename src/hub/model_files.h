// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hub/repo.h"

namespace forge::hub {

/// Whether a name matches a pattern of *, ? and [..]; * also matches /, as in huggingface_hub.
bool MatchesGlob(const std::string& name, const std::string& glob);

/// The files of a model repository that forge wants. Without `include`: at the top of the repository, the
/// configs, the tokenizer, the chat template, adapters, and the weights as safetensors (of several forms of
/// the same weights only model.safetensors or its shards). With it: what any of the patterns matches. Never
/// PyTorch checkpoints, which are programs.
/// Throws Error(kInput) when nothing is left, and says what there is: checkpoints only (convert), GGUF files
/// (--include), or no model.
std::vector<std::string> ChooseModelFiles(const Repo& repo, const std::vector<std::string>& files,
                                          const std::vector<std::string>& include);

/// What of a snapshot is a model that can be opened: the folder, if it has config.json and all its
/// safetensors, or an adapter; else its GGUF file, if there is just one. Nothing for a partial snapshot.
std::optional<std::filesystem::path> FindModelIn(const std::filesystem::path& snapshot);

}  // namespace forge::hub
