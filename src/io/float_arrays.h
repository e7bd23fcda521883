// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "io/float_type.h"

namespace forge::io {

/// Numbers as they are stored to float32, exactly. bytes [out.size() * BytesOf(type)], any alignment.
void WidenFloats(std::span<const std::byte> bytes, FloatType type, std::span<float> out);

/// float32 to what is stored, rounded to nearest even. bytes [values.size() * BytesOf(type)].
void NarrowFloats(std::span<const float> values, FloatType type, std::byte* bytes);

/// The largest finite number of the type.
float LargestOf(FloatType type);

/// Whether no value is infinite or NaN.
bool AllFinite(std::span<const float> values);

/// The same of bfloat16 as it is stored.
bool AllFiniteBFloat16(std::span<const std::byte> bytes);

/// The largest |value|; 0 of none. NaN counts as larger than infinity.
float LargestMagnitude(std::span<const float> values);

}  // namespace forge::io
