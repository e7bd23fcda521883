// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge::io {

/// What the JSON header of a safetensors file says, before it is held against the data.
struct SafetensorsHeader {
  struct Tensor {
    std::string name;
    std::string dtype;                // one that BytesPerElement knows
    std::vector<std::int64_t> shape;  // at most 8 numbers; their product times the element's bytes fits int64
    std::uint64_t begin = 0, end = 0;  // data_offsets; end - begin is what dtype and shape take
  };
  std::vector<Tensor> tensors;  // sorted by name, no name twice
  std::map<std::string, std::string> metadata;
};

/// Reads the header in one pass without building a tree of it: memory is a few times its length, whatever it
/// holds. `path` names the file in errors and `offset` is where the text begins in it.
/// Throws Error(kInput) for anything that is not a header: other fields, names twice, a product that
/// overflows, offsets that do not give the bytes of the shape, more than 10000 entries of metadata or 131072
/// tensors.
SafetensorsHeader ParseSafetensorsHeader(std::string_view text, std::uint64_t offset,
                                         const std::filesystem::path& path);

/// Bytes of one element of a type of the format ("BF16", "F8_E4M3", ...); nothing for another word.
std::optional<std::uint64_t> BytesPerElement(std::string_view dtype);

}  // namespace forge::io
