// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}  // namespace forge

/// Our own mistake, never the user's: prints the condition and aborts. User errors throw forge::Error.
#define FORGE_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::forge::CheckFailed(#condition, __FILE__, __LINE__))
