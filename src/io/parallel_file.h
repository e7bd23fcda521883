// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/huge_memory.h"

namespace forge::io {

/// A file of known size whose parts are written by several threads in any order; in full or not at all, as
/// AtomicFile. Disk space is taken at the start, so a disk that is too small is an Error before any work.
///
/// Bytes are gathered in blocks of 4 MiB. A thread of its own writes those that are full, past the page cache
/// (O_DIRECT) where the file system can: several times as fast as through it for large files, and what other
/// files have there stays. Memory: 8 blocks that wait, and those that are partly filled, so parts should come
/// roughly in order.
class ParallelFile {
 public:
  ParallelFile(std::filesystem::path path, std::uint64_t size);
  ~ParallelFile();
  ParallelFile(const ParallelFile&) = delete;
  ParallelFile& operator=(const ParallelFile&) = delete;

  /// Every byte of the file must be written once. Throws Error(kEnvironment), naming the file.
  void WriteAt(std::uint64_t offset, std::span<const std::byte> bytes);
  /// The same of bytes that are yet to be made: fill(to, first, count) puts bytes [first, first + count) of
  /// `size` where they are to be written from. Called for each block that they lie in, from this thread.
  using FillPart = std::function<void(std::byte* to, std::size_t first, std::size_t count)>;
  void FillAt(std::uint64_t offset, std::size_t size, const FillPart& fill);
  /// All bytes must have come (checked).
  void Commit();

  static constexpr std::size_t kBlockBytes = 4 << 20;

 private:
  using Buffer = HugeMemory;
  struct Block {
    Buffer buffer;
    std::size_t filled = 0;
  };
  std::size_t BlockSize(std::uint64_t index) const;
  std::byte* Open(std::uint64_t index);
  void Enqueue(std::uint64_t index, Buffer buffer);
  void WriteBlocks();  // the thread's work
  void WriteBlock(std::uint64_t index, std::byte* buffer) const;
  void StopThread();

  std::filesystem::path path_, temporary_;
  std::uint64_t size_, written_ = 0;
  int descriptor_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Block> blocks_;  // partly filled, by index
  std::deque<std::pair<std::uint64_t, Buffer>> full_;
  std::vector<Buffer> free_;
  bool no_more_ = false;
  std::exception_ptr error_;  // of the thread
  std::thread thread_;
};

}  // namespace forge::io
