// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "io/gguf.h"

/// How large the file of a GgufWriter will be, without writing it.
namespace forge::io {

/// Of a tensor, with the padding behind it.
std::uint64_t PaddedTensorBytes(const GgufWriter::Declaration& tensor);

/// Of the whole file.
std::uint64_t GgufFileBytes(const GgufMetadata& metadata, std::span<const GgufWriter::Declaration> tensors);

}  // namespace forge::io
