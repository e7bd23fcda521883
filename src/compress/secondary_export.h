// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "io/gguf.h"
#include "model/bitnet_folder.h"
#include "model/weight_source.h"
#include "runtime/packed_weights.h"

namespace forge::compress {

/// Writes the values of a compressed file as an F16 GGUF file, for programs that know no ternary types (and
/// for llama-quantize, which makes the same ternary blocks of it). Read again and compared: throws Error if a
/// linear of one ternary plane is not the same to the bit.
void ExportFloat16(const std::filesystem::path& path, const model::WeightSource& compressed,
                   const io::GgufMetadata& tokenizer, const std::string& model_name);

/// One scale for each linear instead of one for each group, codes as they are: the least-squares scale, the
/// mean of the magnitudes where the code is not 0; as it is left after storing its inverse as `type`.
std::map<std::string, model::BitnetLinear> RefitToTensors(const model::WeightSource& compressed,
                                                          io::FloatType type);

/// Writes the folder layout of transformers' "bitnet" (model/bitnet_folder.h) of a compressed file whose
/// linears are all ternary, refitted; other tensors as bfloat16. The layout has no scales of groups, so this
/// loses what they gained: judge the folder by itself. Throws Error(kInput) naming linears that are not
/// ternary.
void ExportBitnet(const std::filesystem::path& path, const model::WeightSource& compressed,
                  const std::filesystem::path& tokenizer_source);

/// Writes a compressed file as the runtime holds it for int8 activations (runtime/packed_file.h). Throws
/// Error(kInput) for what such a file cannot hold.
void ExportPacked(const std::filesystem::path& path, const model::WeightSource& compressed,
                  const runtime::PackOptions& options, const io::GgufMetadata& tokenizer,
                  const std::string& model_name);

/// Bytes of a file, or of all files of a folder.
std::uint64_t BytesOnDisk(const std::filesystem::path& path);

}  // namespace forge::compress
