// SPDX-License-Identifier: Apache-2.0
#include "io/parallel_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "io/atomic_file.h"

namespace forge::io {
namespace {

constexpr std::size_t kMostWaiting = 8;   // full blocks; who fills more waits
constexpr std::size_t kAlignment = 4096;  // of O_DIRECT: addresses, places and lengths

int OpenForWriting(const std::filesystem::path& path) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  const int direct = open(path.c_str(), kFlags | O_DIRECT, 0644);
  return direct >= 0 || errno != EINVAL ? direct : open(path.c_str(), kFlags, 0644);  // tmpfs and others
}

}  // namespace

ParallelFile::ParallelFile(std::filesystem::path path, std::uint64_t size)
    : path_(std::move(path)), temporary_(path_), size_(size) {
  temporary_ += ".tmp";
  descriptor_ = OpenForWriting(temporary_);
  if (descriptor_ < 0) ThrowWriteError(path_, errno);
  const int error = size == 0 ? 0 : posix_fallocate(descriptor_, 0, static_cast<off_t>(size));
  if (error != 0) {
    close(descriptor_);
    unlink(temporary_.c_str());
    ThrowWriteError(path_, error);
  }
  thread_ = std::thread([this] { WriteBlocks(); });
}

void ParallelFile::StopThread() {
  {
    const std::lock_guard lock(mutex_);
    no_more_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

ParallelFile::~ParallelFile() {
  {
    const std::lock_guard lock(mutex_);
    full_.clear();  // of a file that is given up
  }
  StopThread();
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

std::size_t ParallelFile::BlockSize(std::uint64_t index) const {
  return static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, size_ - index * kBlockBytes));
}

/// The buffer of a block; the mutex is held.
std::byte* ParallelFile::Open(std::uint64_t index) {
  Block& block = blocks_[index];
  if (block.buffer) return block.buffer.data();
  if (!free_.empty()) {
    block.buffer = std::move(free_.back());
    free_.pop_back();
  } else {
    block.buffer = HugeMemory(kBlockBytes);
  }
  return block.buffer.data();
}

void ParallelFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  FillAt(offset, bytes.size(), [&](std::byte* to, std::size_t first, std::size_t count) {
    std::memcpy(to, bytes.data() + first, count);
  });
}

void ParallelFile::FillAt(std::uint64_t offset, std::size_t size, const FillPart& fill) {
  FORGE_CHECK(offset <= size_ && size <= size_ - offset);
  for (std::size_t done = 0; done < size;) {
    const std::uint64_t index = offset / kBlockBytes;
    const std::size_t at = offset % kBlockBytes, count = std::min(size - done, BlockSize(index) - at);
    std::byte* buffer;
    {
      const std::lock_guard lock(mutex_);
      buffer = Open(index);
    }
    fill(buffer + at, done, count);  // no two threads write the same bytes
    Buffer full;
    {
      const std::lock_guard lock(mutex_);
      Block& block = blocks_.at(index);
      block.filled += count;
      FORGE_CHECK(block.filled <= BlockSize(index));
      if (block.filled == BlockSize(index)) {
        full = std::move(block.buffer);
        blocks_.erase(index);
      }
    }
    if (full) Enqueue(index, std::move(full));
    offset += count;
    done += count;
  }
}

void ParallelFile::Enqueue(std::uint64_t index, Buffer buffer) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return full_.size() < kMostWaiting || error_; });
  if (error_) std::rethrow_exception(error_);
  full_.emplace_back(index, std::move(buffer));
  changed_.notify_all();
}

void ParallelFile::WriteBlocks() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !full_.empty() || no_more_; });
    if (full_.empty()) return;
    auto [index, buffer] = std::move(full_.front());
    full_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      WriteBlock(index, buffer.data());
    } catch (...) {  // handed to who writes or commits
      error = std::current_exception();
    }
    lock.lock();
    if (error) error_ = error;
    if (!error) written_ += BlockSize(index);
    free_.push_back(std::move(buffer));
    changed_.notify_all();
    if (error) return;
  }
}

void ParallelFile::WriteBlock(std::uint64_t index, std::byte* buffer) const {
  const std::size_t size = BlockSize(index);
  const std::size_t padded =
      (size + kAlignment - 1) / kAlignment * kAlignment;  // Commit cuts the file to its size
  std::memset(buffer + size, 0, padded - size);
  for (std::size_t done = 0; done < padded;) {
    const ssize_t count =
        pwrite(descriptor_, buffer + done, padded - done, static_cast<off_t>(index * kBlockBytes + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) ThrowWriteError(path_, errno);
    done += static_cast<std::size_t>(count);
  }
}

void ParallelFile::Commit() {
  StopThread();
  if (error_) std::rethrow_exception(error_);
  FORGE_CHECK(written_ == size_);
  if (ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) ThrowWriteError(path_, errno);
  CommitFile(std::exchange(descriptor_, -1), temporary_, path_);
}

}  // namespace forge::io
