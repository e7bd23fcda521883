// SPDX-License-Identifier: Apache-2.0
#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.h"
#include "hub/hub_error.h"
#include "io/atomic_file.h"

namespace forge::hub {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(100);

/// Whether the descriptor's file is still the one under this name.
bool IsStill(const std::filesystem::path& path, int descriptor) {
  struct stat here {
  }, held{};
  return stat(path.c_str(), &here) == 0 && fstat(descriptor, &held) == 0 && here.st_ino == held.st_ino &&
         here.st_dev == held.st_dev;
}

[[noreturn]] void ThrowCannotLock(const std::filesystem::path& path, int error) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot lock " + path.string(),
               .why = std::strerror(error),
               .fix = "set HF_HOME to a folder that can be written, on a file system with locks"});
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, const StopToken& stop) {
  io::CreateFolders(path.parent_path());
  for (;;) {
    // Group-writable, as Python makes them: a cache may be shared by users.
    descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (descriptor_ < 0) ThrowCannotLock(path, errno);
    bool has_lock = false;
    while (!(has_lock = flock(descriptor_, LOCK_EX | LOCK_NB) == 0) &&
           (errno == EWOULDBLOCK || errno == EINTR)) {
      if (stop.stop_requested()) {
        close(std::exchange(descriptor_, -1));
        ThrowStopped("what has come");
      }
      std::this_thread::sleep_for(kPoll);
    }
    // Two downloads into one partial file would spoil each other, so a file system must have locks.
    if (!has_lock) {
      const int error = errno;
      close(std::exchange(descriptor_, -1));
      ThrowCannotLock(path, error);
    }
    if (IsStill(path, descriptor_)) return;
    close(std::exchange(descriptor_, -1));
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

}  // namespace forge::hub
