// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/gguf.h"
#include "model/model_config.h"

namespace forge::model {

/// The keys of GGUF that describe the shape: general.architecture and {arch}.*.
io::GgufMetadata ShapeMetadata(const ModelConfig& config);

/// The tensor that holds RopeDivisors (llama.cpp reads it in arch llama only).
inline constexpr const char* kRopeDivisorsName = "rope_freqs.weight";

/// The number of general.file_type (llama.cpp, enum llama_ftype) for a file whose linears have this type;
/// nothing where there is none that all versions agree on. Only shown to users; no reader depends on it.
std::optional<std::uint32_t> GgufFileType(io::BlockType linear_type);

}  // namespace forge::model
