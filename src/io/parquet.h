// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace forge::io {

/// Calls `row` with each row of a Parquet file, as the text of one JSON object: columns in the file's order,
/// lists and structs as arrays and objects, times as text, what is null or not finite as null. Rows come in
/// batches, so memory does not grow with the file.
///
/// The reader is Apache Arrow's, in libforge_parquet.so (src/io/arrow), which is opened when the first file
/// is read. Throws Error(kEnvironment) where this build has none, Error(kInput) for a file that Arrow cannot
/// read or that has columns of bytes; what `row` throws comes out.
void ReadParquetRows(const std::filesystem::path& path,
                     const std::function<void(std::string_view json)>& row);

/// Where the library is: FORGE_PARQUET, or beside the program, or in ../lib; empty if nowhere.
std::filesystem::path ParquetLibraryPath();

}  // namespace forge::io
