// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf.h"
#include "io/mapped_file.h"

namespace forge::io {

/// One stretch of bytes of a SectionFile, and what it says about them. The meaning of `format` is that of the
/// program.
struct Section {
  std::string name;  // 1 to kMaxSectionName bytes, each name once
  std::uint32_t format = 0;
  std::uint64_t rows = 0, columns = 0, block = 0, group = 0;
  std::span<const std::byte> bytes;  // not empty
};
inline constexpr std::size_t kMaxSectionName = 55;

/// The numbers of the layout (docs/format.md has it byte by byte):
///   header | metadata | zeros | table | zeros | section, zeros, section, zeros, ... section
inline constexpr std::array<char, 8> kSectionFileMagic = {'\x89', 'F', 'O', 'R', 'G', 'E', '\r', '\n'};
inline constexpr std::uint32_t kSectionFileVersion = 1;
inline constexpr std::uint64_t kSectionHeaderBytes = 160;     // the last 32: SHA-256 of the 128 before
inline constexpr std::uint64_t kSectionEntryBytes = 144;      // of the table
inline constexpr std::uint64_t kSectionAlignment = 64;        // of the table, and of each section
inline constexpr std::uint64_t kSectionDataAlignment = 4096;  // of the first section: a page of its own

/// A file of named sections that are used where they lie, mapped: forge's own container. Header, metadata and
/// table are read and checked against their SHA-256 when it is opened; every offset follows from the sizes,
/// and must be that. Errors are Error(kInput) with the file, the offset and what was expected there. At most
/// 131072 sections, and GgufFile's limits on metadata.
class SectionFile {
 public:
  /// Whether a file begins as such a file does; false for a folder or a file that cannot be read.
  static bool Is(const std::filesystem::path& path);

  explicit SectionFile(const std::filesystem::path& path);

  const GgufMetadata& metadata() const { return metadata_; }
  /// In the order of the file. Their bytes live as long as the SectionFile.
  const std::vector<Section>& sections() const { return sections_; }
  /// Null: there is none of this name.
  const Section* Find(std::string_view name) const;
  const std::filesystem::path& path() const { return file_.path(); }
  /// Where the section begins in the file.
  std::uint64_t OffsetOf(const Section& section) const {
    return static_cast<std::uint64_t>(section.bytes.data() - file_.bytes().data());
  }

  /// Compares the bytes of a section, which must be of this file, with their SHA-256. Throws Error(kInput).
  void Verify(const Section& section) const;
  /// The same for all of them, on the global thread pool, and that what lies between is zeros: then every bit
  /// of the file is as it was written. About 2 GB/s a core with SHA instructions, 0.4 without.
  void VerifyAll() const;

  /// Throws Error(kInput) about the bytes at `offset`.
  [[noreturn]] void Fail(std::uint64_t offset, const std::string& why) const;

 private:
  using Sum = std::array<std::byte, 32>;
  void ReadHeader();
  void ReadTable(std::uint64_t begin, std::uint64_t count);
  Section ReadEntry(std::uint64_t at, std::uint64_t begin);
  void CheckZeros(std::uint64_t begin, std::uint64_t end) const;
  void CheckSum(std::uint64_t begin, std::uint64_t bytes, const std::byte* expected,
                const std::string& what) const;
  template <class T>
  T Number(std::uint64_t offset) const;

  MappedFile file_;
  GgufMetadata metadata_;
  std::vector<Section> sections_;
  std::vector<Sum> sums_;  // of the sections
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// Writes such a file, atomically and synced; equal arguments give equal bytes. Not read again: that is up to
/// the caller, who has what it should hold.
void WriteSectionFile(const std::filesystem::path& path, const GgufMetadata& metadata,
                      std::span<const Section> sections);

}  // namespace forge::io
