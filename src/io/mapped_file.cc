// SPDX-License-Identifier: Apache-2.0
#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"

namespace forge::io {
namespace {

constexpr std::size_t kReleaseBytes = 8 << 20;

struct AddressRange {
  std::uintptr_t begin, end;
};

/// The whole pages of it.
void Drop(const AddressRange& range) {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = (range.begin + page - 1) / page * page, last = range.end / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

[[noreturn]] void FailToRead(const std::filesystem::path& path, const char* why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path.string(),
               .why = why,
               .fix = "check the path"});
}

}  // namespace

struct MappedFile::Pending {
  std::mutex mutex;
  std::vector<AddressRange> ranges;
  std::size_t bytes = 0;
};

MappedFile::MappedFile(std::filesystem::path path)
    : path_(std::move(path)), pending_(std::make_unique<Pending>()) {
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  int error = descriptor_ < 0 || fstat(descriptor_, &info) != 0 ? errno : 0;
  if (error == 0 && !S_ISREG(info.st_mode)) error = EISDIR;
  if (error == 0 && info.st_size > 0) {
    void* address =
        mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (address == MAP_FAILED) {
      error = errno;
    } else {
      // Where the file system can, pages that are read from now on are large ones. Others are as they are.
      madvise(address, static_cast<std::size_t>(info.st_size), MADV_HUGEPAGE);
      data_ = static_cast<const std::byte*>(address);
      size_ = static_cast<std::size_t>(info.st_size);
      guard_ = MappingGuard(data_, size_, path_.string());
    }
  }
  if (error == 0) return;
  if (descriptor_ >= 0) close(descriptor_);
  FailToRead(path_, std::strerror(error));
}

MappedFile::~MappedFile() {
  guard_ = {};
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) close(descriptor_);
}

void MappedFile::Copy(std::span<const std::byte> part, std::byte* out) const {
  auto offset = static_cast<off_t>(part.data() - data_);
  for (std::size_t left = part.size(); left > 0;) {
    const ssize_t count = pread(descriptor_, out, left, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) FailToRead(path_, count < 0 ? std::strerror(errno) : "it has become shorter");
    offset += count;
    out += count;
    left -= static_cast<std::size_t>(count);
  }
}

void MappedFile::Release(std::span<const std::byte> part) const {
  std::vector<AddressRange> ranges;
  {
    const std::lock_guard lock(pending_->mutex);
    const auto begin = reinterpret_cast<std::uintptr_t>(part.data());
    pending_->ranges.push_back({begin, begin + part.size()});
    pending_->bytes += part.size();
    if (pending_->bytes < kReleaseBytes) return;
    ranges.swap(pending_->ranges);
    pending_->bytes = 0;
  }
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  AddressRange joined = ranges.front();
  for (const AddressRange& range : ranges) {
    if (range.begin > joined.end) {
      Drop(joined);
      joined = range;
    }
    joined.end = std::max(joined.end, range.end);
  }
  Drop(joined);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(pending_, other.pending_);
  std::swap(guard_, other.guard_);
  return *this;
}

}  // namespace forge::io
