// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <string>

#include "base/error.h"
#include "base/program_library.h"
#include "io/parquet.h"
#include "io/parquet_abi.h"

namespace forge::io {
namespace {

constexpr char kLibrary[] = "libforge_parquet.so";

ForgeReadParquet Open() {
  const std::filesystem::path path = ParquetLibraryPath();
  if (path.empty())
    throw Error(
        {.kind = ErrorKind::kEnvironment,
         .what = "this data is in Parquet files, and this build cannot read them",
         .why = std::string(kLibrary) + " was not found beside the program; it is built where .deps/arrow is",
         .fix = "make setup build, or set FORGE_PARQUET to the library"});
  return reinterpret_cast<ForgeReadParquet>(
      OpenProgramLibrary(path, kForgeReadParquet, "the Parquet reader",
                         "run make setup build, so that Arrow is in .deps/arrow"));
}

struct Rows {
  const std::function<void(std::string_view)>* row;
  std::exception_ptr thrown;  // must not pass through the library
};

int TakeRow(void* user, const char* json, std::size_t bytes) {
  auto* rows = static_cast<Rows*>(user);
  try {
    (*rows->row)({json, bytes});
    return 0;
  } catch (...) {
    rows->thrown = std::current_exception();
    return 1;
  }
}

}  // namespace

std::filesystem::path ParquetLibraryPath() { return FindProgramLibrary(kLibrary, "FORGE_PARQUET"); }

void ReadParquetRows(const std::filesystem::path& path, const std::function<void(std::string_view)>& row) {
  static const ForgeReadParquet read = Open();
  Rows rows{&row, nullptr};
  const char* problem = read(path.c_str(), &rows, TakeRow);
  if (rows.thrown) std::rethrow_exception(rows.thrown);
  if (problem != nullptr)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot read " + path.string(),
                 .why = problem,
                 .fix = "fetch the file again, or use one that is JSON lines"});
}

}  // namespace forge::io
