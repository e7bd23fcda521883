// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace forge::hub {

/// A file that arrives in segments, in any order and with interruptions. What has come is noted behind the
/// last byte of the content, in the file itself, so that a killed download goes on:
///
///   content        [bytes]           holes where nothing has come yet
///   "forgepart001"  12 bytes
///   segment_bytes  u64 little-endian, the length of all segments but the last
///   done           u64 for each segment: so many of its bytes, from its beginning, have come
///
/// The counts are written every MiB and at the end; a killed process loses what came after. They are not
/// synced with the content: after a power cut they may promise too much, which the checksum finds.
class PartialFile {
 public:
  /// Opens it, or makes it; a file whose notes do not fit `bytes` starts anew. Throws Error(kEnvironment).
  PartialFile(std::filesystem::path path, std::uint64_t bytes, std::uint64_t segment_bytes);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::size_t num_segments() const { return done_.size(); }
  std::uint64_t begin(std::size_t segment) const { return segment * segment_bytes_; }
  std::uint64_t length(std::size_t segment) const;
  std::uint64_t done(std::size_t segment) const { return done_[segment]; }
  std::uint64_t done_bytes() const;

  /// Appends to a segment; at most what is left of it. Different segments may be written by different
  /// threads. Throws Error(kEnvironment), for example when the disk is full.
  void Write(std::size_t segment, std::span<const std::byte> bytes);
  /// Forgets everything; the segments now have this length.
  void Restart(std::uint64_t segment_bytes);
  /// Cuts the notes off and syncs. Everything must have come; nothing may be written after it.
  void Finish();

 private:
  bool ReadNotes();
  void WriteNotes();
  void WriteAt(std::uint64_t offset, std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::uint64_t bytes_, segment_bytes_;
  std::vector<std::uint64_t> done_;
  std::vector<std::uint64_t> noted_;  // what of done_ is in the file
  int descriptor_ = -1;
  bool finished_ = false;
};

}  // namespace forge::hub
