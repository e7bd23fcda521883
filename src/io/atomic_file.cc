// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = 2 << 20;  // of a large page

/// Reads the file from its beginning to its end.
template <class Use>
void ReadPieces(const fs::path& path, const Use& use) {
  const auto fail = [&](int error) {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot read " + path.string(),
                 .why = std::strerror(error),
                 .fix = "check the path"});
  };
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(errno);
  const struct Closer {
    int descriptor;
    ~Closer() { close(descriptor); }
  } closer{descriptor};
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = read(descriptor, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(errno);
    if (count == 0) return;
    use(std::string_view(buffer, static_cast<std::size_t>(count)));
  }
}

void SyncFolder(const fs::path& folder) {
  const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a folder that cannot be opened for reading cannot be synced either
  fsync(descriptor);
  close(descriptor);
}

/// `error` is that of what went before; after one the temporary is removed. Throws.
void CloseAndRename(int descriptor, const fs::path& temporary, const fs::path& path, int error) {
  if (close(descriptor) != 0 && error == 0) error = errno;
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return;
  unlink(temporary.c_str());
  ThrowWriteError(path, error);
}

}  // namespace

void ThrowWriteError(const fs::path& path, int error) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot write " + path.string(),
               .why = std::strerror(error),
               .fix = error == ENOSPC
                          ? "free some disk space, or choose another folder; nothing was replaced"
                          : "check that the folder exists and can be written; nothing was replaced"});
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  temporary_ = path_;
  temporary_ += ".tmp";
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) ThrowWriteError(path_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void AtomicFile::WriteOut(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      ThrowWriteError(path_, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::WriteHeld() {
  WriteOut(held_);
  held_.clear();
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (!held_.empty()) {
    const std::span<const std::byte> taken = bytes.first(std::min(bytes.size(), kPiece - held_.size()));
    held_.insert(held_.end(), taken.begin(), taken.end());
    bytes = bytes.subspan(taken.size());
    if (held_.size() < kPiece) return;
    WriteHeld();
  }
  const std::size_t whole = bytes.size() / kPiece * kPiece;
  WriteOut(bytes.first(whole));
  held_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(whole), bytes.end());
}

void CommitFile(int descriptor, const fs::path& temporary, const fs::path& path) {
  CloseAndRename(descriptor, temporary, path, fsync(descriptor) != 0 ? errno : 0);
  SyncFolder(path.parent_path());
}

void AtomicFile::CommitUnsynced() {
  WriteHeld();
  CloseAndRename(std::exchange(descriptor_, -1), temporary_, path_, 0);
}

void AtomicFile::Commit() {
  WriteHeld();
  CommitFile(std::exchange(descriptor_, -1), temporary_, path_);
}

void WriteFileAtomically(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

std::string ReadFile(const fs::path& path) {
  std::string text;
  ReadPieces(path, [&](std::string_view piece) { text += piece; });
  return text;
}

void CopyFileAtomically(const fs::path& from, const fs::path& to) {
  AtomicFile copy(to);
  ReadPieces(from, [&](std::string_view piece) { copy.Write(piece); });
  copy.Commit();
}

void CreateFolders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) ThrowWriteError(folder, error.value());
}

void CheckNewFolder(const fs::path& folder) {
  if (!fs::exists(folder)) return;
  const bool is_folder = fs::is_directory(folder);
  if (is_folder && fs::is_empty(folder)) return;
  throw Error({.kind = ErrorKind::kInput,
               .what = "will not write into " + folder.string(),
               .why = is_folder ? "it exists and is not empty" : "it is a file",
               .fix = "choose another output folder, or remove this one"});
}

AtomicFolder::AtomicFolder(fs::path target, bool replace) : target_(std::move(target)), replace_(replace) {
  if (!target_.has_filename()) target_ = target_.parent_path();  // "out/" names the folder out
  if (!replace_) CheckNewFolder(target_);
  temporary_ = target_;
  temporary_ += ".partial";
  std::error_code error;
  fs::remove_all(temporary_, error);
  fs::create_directories(temporary_, error);
  if (error) ThrowWriteError(target_, error.value());
}

AtomicFolder::~AtomicFolder() {
  if (committed_) return;
  std::error_code ignored;  // a destructor cannot report it; the next run removes the left-over
  fs::remove_all(temporary_, ignored);
}

void AtomicFolder::Commit() {
  SyncFolder(temporary_);
  std::error_code error;
  if (fs::exists(target_)) fs::remove_all(target_, error);
  if (!error) fs::rename(temporary_, target_, error);
  if (error) ThrowWriteError(target_, error.value());
  committed_ = true;
  SyncFolder(target_.parent_path());
}

}  // namespace forge::io
