// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace forge::io {

/// The content of a file, unpacked when its name ends in .gz or .bz2. Throws Error(kInput) naming the file
/// for one that cannot be read, is damaged, or unpacks to more than `most_bytes`.
std::string ReadMaybeCompressed(const std::filesystem::path& path, std::uint64_t most_bytes = 1u << 30);

}  // namespace forge::io
