// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "model/model_weights.h"
#include "runtime/packed_weights.h"
#include "text/tokenizer.h"

namespace forge::pipeline {

/// A model as the stages take it: weights in memory, its tokenizer, and where both came from.
struct LoadedModel {
  std::string name;  // last part of the path, for reports
  std::filesystem::path path;
  model::ModelConfig config;
  model::ModelWeights weights;    // without the tensors in `ternary`
  model::TernaryWeights ternary;  // of a compressed GGUF file
  std::shared_ptr<text::Tokenizer> tokenizer;
};

/// The path of a model named on the command line: an existing path is taken as it is; otherwise a folder of
/// that name below `models_dir`. The short names deepseek, nemotron and qwen2 also stand for their hub names.
/// Throws Error(kInput) that says how to get a model that is not there.
std::filesystem::path ResolveModel(const std::string& name, const std::filesystem::path& models_dir);

/// Loads a Hugging Face folder, a GGUF file, or a PEFT LoRA folder, which is added to `lora_base`. Linears
/// that a GGUF file stores as ternary codes come in `ternary`.
LoadedModel LoadModel(const std::filesystem::path& path, const LoadedModel* lora_base = nullptr);

/// Moves what is in `ternary` into `weights`, as float32 of the same values: for work that needs every
/// weight.
void WidenTernary(LoadedModel& model);

/// The narrowest packing that keeps every weight of this folder or file as it is stored; float32 for storage
/// that the runtime has no kernel for. (Tensors that are ternary are packed as such whatever this says.)
runtime::PackOptions StoredPacking(const std::filesystem::path& path);

/// Whether the folder is a LoRA adapter.
bool IsLoraFolder(const std::filesystem::path& path);

/// Writes a standard model folder with the tokenizer of `model`; bfloat16 unless `full_precision`.
void SaveLoadedModel(const std::filesystem::path& folder, const LoadedModel& model, bool full_precision,
                     bool replace);

/// Bytes that the float32 weights of this model take in memory.
std::uint64_t WeightBytes(const model::ModelConfig& config);

}  // namespace forge::pipeline
