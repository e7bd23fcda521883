// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "io/mapping_guard.h"

namespace forge::io {

/// A file mapped for reading; the pages are read when touched. Throws Error(kInput) if it cannot be opened.
/// A file that becomes shorter meanwhile ends the program with a message (mapping_guard.h).
class MappedFile {
 public:
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// The bytes of `part`, which is within bytes(), by read(2). Where they are needed once this takes two
  /// thirds of the time of touching them, which maps and unmaps every page, and no memory beside `out`.
  /// Throws Error(kInput) if the file has become shorter. May be called from several threads.
  void Copy(std::span<const std::byte> part, std::byte* out) const;

  /// Lets go of the memory that reading `part` of the bytes took (whole pages only). They stay readable: the
  /// next touch reads them again, from the system's cache if they are still there. Parts are let go together
  /// when they add up to 8 MiB, since each time stops all threads. May be called from several threads.
  void Release(std::span<const std::byte> part) const;

 private:
  struct Pending;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int descriptor_ = -1;
  std::unique_ptr<Pending> pending_;  // parts that are to be let go
  MappingGuard guard_;
};

}  // namespace forge::io
