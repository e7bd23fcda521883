// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "compress/ternary_training.h"
#include "io/gguf.h"
#include "io/gguf_blocks.h"

namespace forge::compress {

/// Writes the compressed model as a GGUF file: linears as `linear_type` (Q2_0, TQ2_0 or TQ1_0: codes and
/// scales as they are), embedding and head as Q8_0 (F16 where rows do not fill blocks of 32), norms and
/// biases as F32. It is the only file: llama.cpp loads it, and model/ternary_gguf.h reads the same codes back
/// for the runtime, which packs them in memory.
///   tokenizer  tokenizer.* keys (text/gguf_tokenizer.h), may be empty
void ExportGguf(const std::filesystem::path& path, const CompressedModel& model, io::BlockType linear_type,
                const io::GgufMetadata& tokenizer, const std::string& model_name);

}  // namespace forge::compress
