// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "io/gguf.h"
#include "io/gguf_blocks.h"
#include "model/model_config.h"

namespace forge::model {

/// Bytes of the file that SaveGguf (gguf_model.h) writes when it stores each matrix as `type_of` says,
/// without second planes.
std::uint64_t GgufBytes(const ModelConfig& config,
                        const std::function<io::BlockType(const TensorSpec&)>& type_of,
                        const io::GgufMetadata& tokenizer, const std::string& model_name);

}  // namespace forge::model
