// SPDX-License-Identifier: Apache-2.0
#include "io/float_type.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace forge::io {

std::string_view Name(FloatType type) {
  return type == FloatType::kF32 ? "F32" : type == FloatType::kF16 ? "F16" : "BF16";
}

std::string_view LongName(FloatType type) {
  return type == FloatType::kF32 ? "float32" : type == FloatType::kF16 ? "float16" : "bfloat16";
}

std::size_t BytesOf(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

FloatType ParseFloatType(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower == "f32" || lower == "float32") return FloatType::kF32;
  if (lower == "f16" || lower == "float16") return FloatType::kF16;
  if (lower == "bf16" || lower == "bfloat16") return FloatType::kBF16;
  throw Error({.kind = ErrorKind::kUsage,
               .what = fmt::format("unknown number type \"{}\"", name),
               .why = "weights are stored as float32, float16 or bfloat16",
               .fix = "use one of these three words"});
}

}  // namespace forge::io
