// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "model/model_folder.h"

namespace forge::model {

/// One tensor to be stored in a GGUF file, by its Hugging Face name; the shape follows from the config.
/// Float values, ternary codes with their scales, or the blocks of the type; the memory is the caller's.
struct GgufTensor {
  std::string name;
  io::BlockType type = io::BlockType::kF16;  // norms and biases are stored as F32 whatever this says
  std::span<const float> values;             // [out, in]
  std::span<const std::int8_t> codes;        // [out, in] in {-1, 0, +1}; used when values is empty
  std::span<const float> scales;             // [out, in / group_size], each a binary16 number
  std::size_t group_size = 0;                // along `in`; a multiple of the type's block
  std::span<const std::byte> blocks;         // [out, row bytes], used when the others are empty
  std::span<const std::int8_t>
      second_codes;                      // of a second ternary plane that is added to the first; or empty
  std::span<const float> second_scales;  // like scales
};

/// How a file names the second ternary plane of a linear: "blk.3.ffn_up.weight.plane2". The value of a weight
/// is the sum of both planes. Only forge reads such files.
inline constexpr const char* kSecondPlane = ".plane2";

/// All tensors of a model as float values: the seven linears as `linear_type`, embedding and head as
/// `table_type`.
std::vector<GgufTensor> GgufTensorsOf(const ModelConfig& config, const ModelWeights& weights,
                                      io::BlockType linear_type, io::BlockType table_type);

/// Writes a GGUF file that llama.cpp loads (arch llama, qwen2 or qwen3), in one pass, atomically. Rows of q
/// and k are permuted for llama, as that arch wants them; a llama3 rope scaling becomes rope_freqs.weight.
///
///   tensors    every tensor of ListTensors(config), in any order
///   tokenizer  tokenizer.* keys (text/gguf_tokenizer.h); may be empty. The config's bos, eos and pad ids
///   win.
///
/// Throws Error(kInput) with every tensor whose rows do not fill the blocks of its type (Qwen2.5-0.5B and
/// SmolLM2-135M: TQ1_0 and TQ2_0 need rows of 256; use Q2_0), and for a tokenizer that has not vocab_size
/// tokens, and for a rope scaling that GGUF has no form for (llama3 in another arch than llama).
void SaveGguf(const std::filesystem::path& path, const ModelConfig& config,
              std::span<const GgufTensor> tensors, const io::GgufMetadata& tokenizer,
              const std::string& model_name);

/// The same, read piece by piece from a source: memory for a few MiB whatever the size of the model.
///
///   type_of  how each matrix is stored. A tensor that a GGUF source has stored so is copied as it is, also
///   in
///            types that forge does not encode; every other type must be one that it encodes.
///
/// Throws Error(kInput) too for values that are not finite or beyond the type, and for a ternary type if the
/// weights are not ternary already.
void SaveGguf(const std::filesystem::path& path, const WeightSource& weights,
              const std::function<io::BlockType(const TensorSpec&)>& type_of,
              const io::GgufMetadata& tokenizer, const std::string& model_name);

/// The config in the metadata of a file. Arch llama is read as model_type llama, also for a Mistral model:
/// what is computed is the same. Throws Error(kInput) with all that is missing or that forge does not
/// compute.
ModelConfig GgufConfig(const io::GgufFile& file);

/// The weights of a GGUF file, not read yet, in Hugging Face's names and row order. Throws Error(kInput) if
/// the tensors are not those of the config.
std::unique_ptr<WeightSource> OpenGguf(const std::filesystem::path& path);

/// Config and weights of a GGUF file as float32, in Hugging Face's names and row order; config_json is made
/// from the config, path is the file.
ModelFolder LoadGguf(const std::filesystem::path& path);

/// "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight".
std::string GgufName(const std::string& hugging_face_name);

/// Whether GGUF has the rows of this tensor in another order: q and k of arch llama.
bool IsPermutedInGguf(const ModelConfig& config, const TensorSpec& spec);
/// For arch llama, the row of a q or k projection (of num_heads heads) in Hugging Face's order that GGUF's
/// row `row` holds: heads of [2, head_dim / 2] rows become [head_dim / 2, 2].
std::int64_t HuggingFaceRow(std::int64_t row, int head_dim);
/// The other way round.
std::int64_t GgufRow(std::int64_t row, int head_dim);

}  // namespace forge::model
