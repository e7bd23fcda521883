// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace forge::io {

/// SHA-256 in lower-case hexadecimal.
std::string Sha256(std::span<const std::byte> bytes);
/// Its 32 bytes.
std::array<std::byte, 32> Sha256Bytes(std::span<const std::byte> bytes);
/// The same of a file, piece by piece: memory for a few MiB.
std::string Sha256OfFile(const std::filesystem::path& path);
/// The id that git gives a file: SHA-1 of "blob <bytes>", a zero byte, and the bytes. Not for security: it
/// tells a broken copy from a whole one.
std::string GitBlobIdOfFile(const std::filesystem::path& path);

}  // namespace forge::io
