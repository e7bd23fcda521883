// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "compress/ternary_training.h"
#include "io/gguf.h"
#include "io/gguf_blocks.h"

namespace forge::compress {

/// The types of the tensors of a file.
struct ExportTypes {
  io::BlockType linears = io::BlockType::kQ2_0;  // ternary ones: Q2_0, TQ2_0 or TQ1_0
  io::BlockType tables = io::BlockType::kQ8_0;   // embedding and head: any type that can be encoded
};

/// Writes the compressed model as a GGUF file: ternary linears with codes and scales as they are, embedding
/// and head rounded to `types.tables`, norms and biases as F32. llama.cpp loads it, and model/ternary_gguf.h
/// reads the same codes back for the runtime, which packs them in memory.
///   tokenizer  tokenizer.* keys (text/gguf_tokenizer.h), may be empty
void ExportGguf(const std::filesystem::path& path, const CompressedModel& model, const ExportTypes& types,
                const io::GgufMetadata& tokenizer, const std::string& model_name);

}  // namespace forge::compress
