// SPDX-License-Identifier: Apache-2.0
#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <string_view>

#include "base/check.h"
#include "base/error.h"

namespace forge::hub {
namespace {

constexpr std::string_view kMagic = "forgepart001";
constexpr std::uint64_t kNoteEveryBytes = 1 << 20;
constexpr std::uint64_t kMaxSegments = 1 << 20;
static_assert(std::endian::native == std::endian::little, "the notes are little-endian");

[[noreturn]] void ThrowCannotWrite(const std::filesystem::path& path, int error) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot write " + path.string(),
               .why = std::strerror(error),
               .fix = error == ENOSPC
                          ? "free some disk space, or set HF_HOME to a folder on another disk; then "
                            "the same command goes on"
                          : "check that the folder can be written, or set HF_HOME to another"});
}

}  // namespace

PartialFile::PartialFile(std::filesystem::path path, std::uint64_t bytes, std::uint64_t segment_bytes)
    : path_(std::move(path)), bytes_(bytes), segment_bytes_(segment_bytes) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) ThrowCannotWrite(path_, errno);
  try {
    if (!ReadNotes()) Restart(segment_bytes);
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

PartialFile::~PartialFile() {
  if (!finished_) {
    try {
      WriteNotes();
    } catch (const Error&) {  // a full disk: the notes of before hold
    }
  }
  close(descriptor_);
}

std::uint64_t PartialFile::length(std::size_t segment) const {
  return std::min(segment_bytes_, bytes_ - begin(segment));
}

std::uint64_t PartialFile::done_bytes() const {
  return std::accumulate(done_.begin(), done_.end(), std::uint64_t{0});
}

bool PartialFile::ReadNotes() {
  struct stat info {};
  if (fstat(descriptor_, &info) != 0) return false;
  const std::uint64_t fixed = kMagic.size() + sizeof(std::uint64_t);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size < bytes_ + fixed || size - bytes_ > fixed + kMaxSegments * sizeof(std::uint64_t)) return false;
  std::string notes(size - bytes_, '\0');
  if (pread(descriptor_, notes.data(), notes.size(), static_cast<off_t>(bytes_)) !=
          static_cast<ssize_t>(notes.size()) ||
      !notes.starts_with(kMagic))
    return false;
  std::uint64_t segment_bytes = 0;
  std::memcpy(&segment_bytes, notes.data() + kMagic.size(), sizeof segment_bytes);
  if (segment_bytes == 0) return false;
  const std::uint64_t count = bytes_ / segment_bytes + (bytes_ % segment_bytes != 0);
  if (notes.size() != fixed + count * sizeof(std::uint64_t)) return false;
  segment_bytes_ = segment_bytes;
  done_.resize(count);
  std::memcpy(done_.data(), notes.data() + fixed, count * sizeof(std::uint64_t));
  noted_ = done_;
  for (std::size_t i = 0; i < done_.size(); ++i)
    if (done_[i] > length(i)) return false;
  return true;
}

void PartialFile::Restart(std::uint64_t segment_bytes) {
  // Few enough segments for the notes to be small, whatever was asked for.
  segment_bytes_ = std::max({segment_bytes, bytes_ / kMaxSegments + 1, std::uint64_t{1}});
  done_.assign(bytes_ / segment_bytes_ + (bytes_ % segment_bytes_ != 0), 0);
  noted_.assign(done_.size(), 0);
  if (ftruncate(descriptor_, 0) != 0) ThrowCannotWrite(path_, errno);
  WriteNotes();
}

void PartialFile::WriteNotes() {
  std::string notes(kMagic);
  notes.append(reinterpret_cast<const char*>(&segment_bytes_), sizeof segment_bytes_);
  notes.append(reinterpret_cast<const char*>(done_.data()), done_.size() * sizeof(std::uint64_t));
  WriteAt(bytes_, std::as_bytes(std::span(notes)));
}

void PartialFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) ThrowCannotWrite(path_, errno);
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void PartialFile::Write(std::size_t segment, std::span<const std::byte> bytes) {
  std::uint64_t& done = done_[segment];
  FORGE_CHECK(!finished_ && bytes.size() <= length(segment) - done);
  WriteAt(begin(segment) + done, bytes);
  done += bytes.size();
  if (done - noted_[segment] < kNoteEveryBytes && done < length(segment)) return;
  WriteAt(bytes_ + kMagic.size() + sizeof segment_bytes_ + segment * sizeof done,
          std::as_bytes(std::span(&done, 1)));
  noted_[segment] = done;
}

void PartialFile::Finish() {
  FORGE_CHECK(done_bytes() == bytes_);
  finished_ = true;
  if (ftruncate(descriptor_, static_cast<off_t>(bytes_)) != 0 || fsync(descriptor_) != 0)
    ThrowCannotWrite(path_, errno);
}

}  // namespace forge::hub
