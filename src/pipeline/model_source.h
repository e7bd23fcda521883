// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "io/gguf.h"
#include "model/model_weights.h"
#include "pipeline/model_reference.h"
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

/// Loads what ResolveModel gave: a Hugging Face folder or a GGUF file, with its adapters added. Linears that
/// a GGUF file stores as ternary codes come in `ternary` (with adapters: as floats in `weights`).
LoadedModel LoadModel(const std::filesystem::path& path);

/// A model whose weights are read tensor by tensor, from mapped files: any number of processes share them.
struct OpenedModel {
  std::string name;
  std::filesystem::path path;
  model::ModelConfig config;
  std::shared_ptr<const model::WeightSource> weights;  // ternary ones as their floats
  std::shared_ptr<text::Tokenizer> tokenizer;

  LoadedModel Load() const;
};
/// Opens what ResolveModel gave; a LoRA folder alone is added to the model at `lora_base`. Reads all weights
/// once, in pieces: throws Error(kInput) for a value that is not finite.
OpenedModel OpenModel(const std::filesystem::path& path, const std::filesystem::path& lora_base = {});

/// Moves what is in `ternary` into `weights`, as float32 of the same values: for work that needs every
/// weight.
void WidenTernary(LoadedModel& model);

/// How LoadModelToRun loads.
struct RunOptions {
  runtime::PackOptions packing;
  bool verify = false;  // every byte of a packed file against its checksums
  bool with_tokenizer = true;
};
/// A model that only runs: packed straight from the mapped file or folder, without a float32 copy; or a
/// packed file (runtime/packed_file.h), used where it lies.
struct ModelToRun {
  runtime::PackedWeights weights;
  std::shared_ptr<text::Tokenizer> tokenizer;  // null without_tokenizer
};
/// Loads what ResolveModel gave, with its adapters added. A packed file is taken as it is, with int8
/// activations: Error(kUsage) for other weights in `packing`, Error(kInput) for adapters.
ModelToRun LoadModelToRun(const std::filesystem::path& path, const RunOptions& options = {});

/// Writes a standard model folder with the tokenizer of `model`; bfloat16 unless `full_precision`.
void SaveLoadedModel(const std::filesystem::path& folder, const LoadedModel& model, bool full_precision,
                     bool replace);

/// Writes the tokenizer of a model, which HasTokenizer, into a folder: its files as they are, or made from a
/// GGUF file.
void CopyTokenizer(const std::filesystem::path& base, int max_position_embeddings,
                   const std::filesystem::path& folder);

/// The tokenizer.* keys for a GGUF or packed file of a model: as they are in a GGUF file, else made from the
/// folder's tokenizer, for an embedding of config.vocab_size rows.
io::GgufMetadata GgufTokenizerOf(const std::filesystem::path& base, const model::ModelConfig& config);

/// Bytes that the float32 weights of this model take in memory.
std::uint64_t WeightBytes(const model::ModelConfig& config);

}  // namespace forge::pipeline
