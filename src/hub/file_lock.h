// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "base/stop_token.h"

namespace forge::hub {

/// Holds a lock file: flock, exclusive, as huggingface_hub's filelock does on Unix, so the two wait for each
/// other. The file may be removed by whoever held it before; then it is made anew and tried again. It stays
/// when we let go, as others may wait for it. Throws Error(kEnvironment) if it cannot be made, and
/// Error(kInterrupted) when stopped while waiting.
class FileLock {
 public:
  FileLock(const std::filesystem::path& path, const StopToken& stop);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace forge::hub
