// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "compress/quantised_linear.h"
#include "io/gguf_blocks.h"
#include "model/model_weights.h"

namespace forge::compress {

/// A linear, or a table, as blocks of a type of GGUF: [out, row bytes], rows in Hugging Face's order.
struct EncodedLinear {
  io::BlockType type = io::BlockType::kQ8_0;
  std::vector<std::byte> blocks;
};

/// Codes and scales of plane 0 or 1 of a linear whose levels are sums of ternary planes.
///   group  of the result, divides that of the linear, whose scales are repeated; 0: that of the linear
model::TernaryTensor ToTernary(const QuantisedLinear& linear, std::size_t plane = 0, std::int64_t group = 0);

/// Blocks that hold the values of a quantiser with `blocks` exactly.
EncodedLinear EncodeLevels(const QuantisedLinear& linear, const Quantiser::Blocks& blocks);

/// weights [out, in] rounded to a type that io::EncodeBlocks knows.
EncodedLinear Encode(io::BlockType type, std::span<const float> weights, std::int64_t in);

}  // namespace forge::compress
