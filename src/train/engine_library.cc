// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/program_library.h"
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
  using Create = Engine* (*)();
  const auto create = reinterpret_cast<Create>(
      OpenProgramLibrary(path, "forge_create_engine", "the training engine",
                         "run make setup build, so that libtorch is in .deps/torch"));
  return *create();
}

}  // namespace

std::filesystem::path EnginePath() { return FindProgramLibrary(kLibrary, "FORGE_ENGINE"); }

Engine& OpenEngine() {
  static Engine& engine = Open();
  return engine;
}

}  // namespace forge::train
