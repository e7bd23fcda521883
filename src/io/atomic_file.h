// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace forge::io {

/// Writes a file so that it is either there in full or not at all: temporary name in the same folder, fsync,
/// rename, fsync of the folder. Destroying it without Commit removes the temporary.
/// Throws Error(kEnvironment) when the disk is full or the folder cannot be written, naming the file; what is
/// written may be found not to fit in a later Write or in Commit only.
/// Bytes reach the system 2 MiB at a time, at multiples of that: file systems with large folios (ext4 from
/// Linux 6.16, xfs, btrfs) then hold them in pages of that size, and a program that maps the file misses its
/// translations less often (decoding from a packed file: docs/results.md).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }
  /// Position at which the next Write goes.
  std::uint64_t size() const { return size_; }
  void Commit();
  /// Commit without the two fsyncs: whole or not there for all processes, but a power cut may leave it cut
  /// off or take it away. For what is cheap to make again and written often.
  void CommitUnsynced();

 private:
  /// Past `held_`, to the system.
  void WriteOut(std::span<const std::byte> bytes);
  void WriteHeld();

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::vector<std::byte> held_;  // the last bytes, less than 2 MiB
};

/// Error(kEnvironment) for a file that could not be written, from errno.
[[noreturn]] void ThrowWriteError(const std::filesystem::path& path, int error);

/// What Commit does: syncs and closes the descriptor, renames the temporary, syncs the folder. Throws; then
/// the temporary is gone.
void CommitFile(int descriptor, const std::filesystem::path& temporary, const std::filesystem::path& path);

/// The whole text in one step.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

/// A copy under another name, there in full or not at all; replaces what was there.
void CopyFileAtomically(const std::filesystem::path& from, const std::filesystem::path& to);

/// Creates the folder and those it lies in; one that exists is fine. Throws Error(kEnvironment).
void CreateFolders(const std::filesystem::path& folder);

/// The whole file. Throws Error(kInput) if it cannot be read.
std::string ReadFile(const std::filesystem::path& path);

/// Throws Error(kInput) unless a new folder may take this name: nothing is there, or an empty folder. For
/// commands that write a folder after long work.
void CheckNewFolder(const std::filesystem::path& folder);

/// A folder that appears under its name only when complete: work in `path()`, then Commit. An existing target
/// is replaced only if `replace`; otherwise Error(kInput). A left-over of a killed process is removed first.
class AtomicFolder {
 public:
  explicit AtomicFolder(std::filesystem::path target, bool replace = false);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  const std::filesystem::path& path() const { return temporary_; }
  void Commit();

 private:
  std::filesystem::path target_, temporary_;
  bool replace_, committed_ = false;
};

}  // namespace forge::io
