// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

/// The one function of libforge_parquet.so. Plain C, so that no exception and no type of one library reaches
/// the other.
extern "C" {

/// Takes the JSON text of a row; anything but 0 ends the reading.
typedef int (*ForgeParquetRow)(void* user, const char* json, std::size_t bytes);

/// Reads the file; returns null, or why it could not be read (valid until the next call of this thread).
typedef const char* (*ForgeReadParquet)(const char* path, void* user, ForgeParquetRow row);

}  // extern "C"

inline constexpr char kForgeReadParquet[] = "forge_read_parquet_1";  // counts with the signature
