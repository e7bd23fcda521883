// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace forge::cli {

inline constexpr char kVersion[] = "0.1.0";

/// The whole program: `arguments` without its name. Returns the exit code (base/error.h); errors are shown
/// here.
int RunProgram(const std::vector<std::string>& arguments);

}  // namespace forge::cli
