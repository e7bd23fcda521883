// SPDX-License-Identifier: Apache-2.0
#include "base/program_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"

namespace forge {

std::filesystem::path FindProgramLibrary(const char* name, const char* variable) {
  if (const char* path = std::getenv(variable)) return path;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  for (const std::filesystem::path& folder : {program.parent_path(), program.parent_path() / "../lib"})
    if (std::filesystem::exists(folder / name, error)) return folder / name;
  return {};
}

void* OpenProgramLibrary(const std::filesystem::path& path, const char* symbol, const std::string& what,
                         const std::string& fix) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  void* function = library == nullptr ? nullptr : dlsym(library, symbol);
  if (function == nullptr)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot open " + what + " " + path.string(),
                 .why = dlerror(),
                 .fix = fix});
  return function;
}

}  // namespace forge
