// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/weight_source.h"

namespace forge::pipeline {

/// The hub name that a short name stands for (deepseek, nemotron, qwen2); any other name as it is.
std::string HubName(const std::string& name);

/// The path of a model named on the command line: an existing path is taken as it is; otherwise a folder of
/// that name below `models_dir`; otherwise what `forge pull` or a Python tool has fetched of OWNER/NAME or
/// OWNER/NAME@REVISION, in the cache of hub/hub_settings.h. The short names stand for their hub names.
///
/// BASE+ADAPTER is the model BASE with the LoRA folder ADAPTER added (more may follow, each after a +); both
/// are looked up like models. The answer has the same form, and everything here that takes a path takes it.
/// Throws Error(kInput) that says how to get a model that is not there.
std::filesystem::path ResolveModel(const std::string& name, const std::filesystem::path& models_dir);

/// A path of ResolveModel taken apart.
struct ModelParts {
  std::filesystem::path base;                   // a model folder, a GGUF file, or a LoRA folder named alone
  std::vector<std::filesystem::path> adapters;  // added in this order
};
/// Names with a + in them stay whole where they exist as they are.
ModelParts PartsOf(const std::filesystem::path& path);

/// Whether the folder is a LoRA adapter.
bool IsLoraFolder(const std::filesystem::path& path);

/// The weights of a model, not read yet, with its adapters added on the way. Throws Error(kInput) for a LoRA
/// folder without its base, and for checkpoints of PyTorch, with the way to convert them.
std::unique_ptr<model::WeightSource> OpenWeights(const std::filesystem::path& path);

/// Throws Error(kInput) if the base of a reference is no folder or file that forge reads models from.
void CheckIsModel(const std::filesystem::path& base);

/// Whether a model comes with a tokenizer: a file, or a folder that has one of the files that
/// text::LoadTokenizer reads.
bool HasTokenizer(const std::filesystem::path& base);

/// "math" of models/math, "base+math" of models/base+models/math, NAME of a pulled OWNER/NAME: for reports.
std::string ShortNameOf(const std::filesystem::path& path);

}  // namespace forge::pipeline
