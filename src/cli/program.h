// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/version.h"

namespace forge::cli {

/// The whole program: `arguments` without its name. Returns the exit code (base/error.h); errors are shown
/// here.
int RunProgram(const std::vector<std::string>& arguments);

}  // namespace forge::cli
