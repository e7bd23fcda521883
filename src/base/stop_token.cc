// SPDX-License-Identifier: Apache-2.0
#include "base/stop_token.h"

#include <string>

#include "base/error.h"

namespace forge {

void StopToken::ThrowIfRequested(const char* unit) const {
  if (!stop_requested()) return;
  throw Error({.kind = ErrorKind::kInterrupted,
               .what = "stopped on request",
               .why = std::string("everything up to ") + unit + " is kept",
               .fix = "run the same command again to go on"});
}

}  // namespace forge
