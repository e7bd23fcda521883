// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace forge::io {

/// While it lives, a touch of these mapped bytes that the file no longer has (it was made shorter by someone,
/// or its disk failed) ends the program with a message that names the file, and the exit code of
/// ErrorKind::kInput; without it the kernel would kill the program with SIGBUS, in silence. What the program
/// had committed stays, so that a run can be resumed.
///
/// The first of them installs a handler for SIGBUS; a SIGBUS that concerns no guarded bytes goes where it
/// went before. At most 4096 at a time; further ones guard nothing.
class MappingGuard {
 public:
  MappingGuard() = default;
  MappingGuard(const void* data, std::size_t size, const std::string& path);
  ~MappingGuard();
  MappingGuard(MappingGuard&& other) noexcept;
  MappingGuard& operator=(MappingGuard&& other) noexcept;

 private:
  int slot_ = -1;
};

}  // namespace forge::io
