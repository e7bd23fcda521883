// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace forge::io {

/// The number types that forge writes weights in.
enum class FloatType { kF32, kF16, kBF16 };

/// "F32", "F16", "BF16": the spelling of safetensors.
std::string_view Name(FloatType type);
/// "float32", "float16", "bfloat16": the spelling of config.json (and the flags).
std::string_view LongName(FloatType type);
/// 4 or 2.
std::size_t BytesOf(FloatType type);
/// Either spelling, any case. Throws Error(kUsage) for another word.
FloatType ParseFloatType(std::string_view name);

}  // namespace forge::io
