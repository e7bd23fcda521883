// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"
#include "train/engine.h"

namespace forge::train {
namespace {

constexpr char kLibrary[] = "libforge_engine.so";

Engine& Open() {
  const std::filesystem::path path = EnginePath();
  if (path.empty())
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "this step trains, and the training engine is not here",
                 .why = std::string(kLibrary) +
                        " was not found beside the program (a build with FORGE_WITH_TORCH=OFF has none)",
                 .fix = "build with libtorch: make setup build, or set FORGE_ENGINE to the library"});
  // RTLD_NODELETE: libtorch registers its operators in static constructors and must never be unloaded.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  using Create = Engine* (*)();
  const auto create =
      library == nullptr ? nullptr : reinterpret_cast<Create>(dlsym(library, "forge_create_engine"));
  if (create == nullptr)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot open the training engine " + path.string(),
                 .why = dlerror(),
                 .fix = "run make setup build, so that libtorch is in .deps/torch"});
  return *create();
}

}  // namespace

std::filesystem::path EnginePath() {
  if (const char* path = std::getenv("FORGE_ENGINE")) return path;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  for (const std::filesystem::path& folder : {program.parent_path(), program.parent_path() / "../lib"})
    if (std::filesystem::exists(folder / kLibrary, error)) return folder / kLibrary;
  return {};
}

Engine& OpenEngine() {
  static Engine& engine = Open();
  return engine;
}

}  // namespace forge::train
