// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace forge {

/// A shared library that comes with this program and is opened only when it is needed, because opening it
/// takes longer than most commands: libtorch, Arrow.
///
/// The file that the environment variable `variable` names (it need not exist), else `name` beside the
/// program or in ../lib; empty if there is none.
std::filesystem::path FindProgramLibrary(const char* name, const char* variable);

/// The function `symbol` of the library, which is never unloaded: libtorch registers its operators in static
/// constructors. Throws Error(kEnvironment) with `what` is opened ("the training engine") and `fix`.
void* OpenProgramLibrary(const std::filesystem::path& path, const char* symbol, const std::string& what,
                         const std::string& fix);

}  // namespace forge
