// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace forge::io {

/// SHA-256 in lower-case hexadecimal.
std::string Sha256(std::span<const std::byte> bytes);
/// The same of a file, piece by piece: memory for a few MiB.
std::string Sha256OfFile(const std::filesystem::path& path);

}  // namespace forge::io
