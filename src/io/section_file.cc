// SPDX-License-Identifier: Apache-2.0
#include "io/section_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "io/section_layout.h"
#include "io/sha256.h"

namespace forge::io {
namespace {

constexpr std::uint64_t kMaxSections = 1 << 17;
constexpr std::uint64_t kMaxMetadataBytes = 64 << 20;
// Where the fields of the header are.
constexpr std::uint64_t kVersionAt = 8, kHeaderBytesAt = 12, kFileBytesAt = 16, kMetadataAt = 24,
                        kMetadataBytesAt = 32, kTableAt = 40, kSectionsAt = 48, kDataAt = 56,
                        kMetadataSumAt = 64, kTableSumAt = 96, kHeaderSumAt = 128;
// And those of an entry of the table.
constexpr std::uint64_t kFormatAt = 56, kZeroAt = 60, kRowsAt = 64, kColumnsAt = 72, kBlockAt = 80,
                        kGroupAt = 88, kOffsetAt = 96, kBytesAt = 104, kSumAt = 112;
static_assert(kHeaderSumAt + 32 == kSectionHeaderBytes && kSumAt + 32 == kSectionEntryBytes);
static_assert(kFormatAt == kMaxSectionName + 1);

}  // namespace

bool SectionFile::Is(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::array<char, kSectionFileMagic.size()> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  return start == kSectionFileMagic;
}

SectionFile::SectionFile(const std::filesystem::path& path) : file_(path) { ReadHeader(); }

void SectionFile::Fail(std::uint64_t offset, const std::string& why) const {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path().string(),
               .why = fmt::format("at offset {}: {}", offset, why),
               .fix = "copy the file again, or make it again with forge pack"});
}

template <class T>
T SectionFile::Number(std::uint64_t offset) const {
  T value;
  std::memcpy(&value, file_.bytes().data() + offset, sizeof(T));
  return value;
}

void SectionFile::CheckSum(std::uint64_t begin, std::uint64_t bytes, const std::byte* expected,
                           const std::string& what) const {
  const Sum sum = Sha256Bytes(file_.bytes().subspan(begin, bytes));
  if (std::memcmp(sum.data(), expected, sum.size()) != 0)
    Fail(begin, fmt::format("the {} bytes of {} do not have the SHA-256 that was written", bytes, what));
}

void SectionFile::CheckZeros(std::uint64_t begin, std::uint64_t end) const {
  const auto between = file_.bytes().subspan(begin, end - begin);
  const auto wrong =
      std::find_if(between.begin(), between.end(), [](std::byte byte) { return byte != std::byte{0}; });
  if (wrong != between.end())
    Fail(begin + static_cast<std::uint64_t>(wrong - between.begin()), "padding that is not zero");
}

void SectionFile::ReadHeader() {
  const std::uint64_t size = file_.bytes().size();
  if (size < kSectionFileMagic.size() ||
      std::memcmp(file_.bytes().data(), kSectionFileMagic.data(), kSectionFileMagic.size()) != 0)
    Fail(0, "it does not begin as a packed file of forge");
  if (size < kSectionHeaderBytes)
    Fail(size, fmt::format("the header takes {} bytes, the file ends here", kSectionHeaderBytes));
  if (const auto version = Number<std::uint32_t>(kVersionAt); version != kSectionFileVersion)
    Fail(kVersionAt, fmt::format("it has version {}; this forge reads {}", version, kSectionFileVersion));
  const std::byte* header = file_.bytes().data();
  CheckSum(0, kHeaderSumAt, header + kHeaderSumAt, "the header");
  const auto expect = [&](std::uint64_t at, const char* what, std::uint64_t found, std::uint64_t expected) {
    if (found != expected) Fail(at, fmt::format("{} is {}, not {}", what, found, expected));
  };
  expect(kHeaderBytesAt, "the size of the header", Number<std::uint32_t>(kHeaderBytesAt),
         kSectionHeaderBytes);
  if (const auto bytes = Number<std::uint64_t>(kFileBytesAt); bytes != size)
    Fail(kFileBytesAt, fmt::format("it was written with {} bytes, and has {}", bytes, size));
  expect(kMetadataAt, "the offset of the metadata", Number<std::uint64_t>(kMetadataAt), kSectionHeaderBytes);
  const auto metadata_bytes = Number<std::uint64_t>(kMetadataBytesAt);
  if (metadata_bytes > std::min(kMaxMetadataBytes, size - kSectionHeaderBytes))
    Fail(kMetadataBytesAt, fmt::format("{} bytes of metadata; the file has {} left, and forge reads up to {}",
                                       metadata_bytes, size - kSectionHeaderBytes, kMaxMetadataBytes));
  const std::uint64_t metadata_end = kSectionHeaderBytes + metadata_bytes;
  const std::uint64_t table = Padded(metadata_end, kSectionAlignment);
  expect(kTableAt, "the offset of the table", Number<std::uint64_t>(kTableAt), table);
  const auto sections = Number<std::uint64_t>(kSectionsAt);
  if (sections > kMaxSections || table > size || sections * kSectionEntryBytes > size - table)
    Fail(kSectionsAt,
         fmt::format("{} sections, whose table does not fit the {} bytes of the file; forge reads "
                     "up to {}",
                     sections, size, kMaxSections));
  const std::uint64_t table_end = table + sections * kSectionEntryBytes;
  const std::uint64_t data = Padded(table_end, kSectionDataAlignment);
  expect(kDataAt, "the offset of the first section", Number<std::uint64_t>(kDataAt), data);
  if (data > size) Fail(size, fmt::format("the sections begin at {}, the file ends here", data));
  CheckSum(kSectionHeaderBytes, metadata_bytes, header + kMetadataSumAt, "the metadata");
  CheckSum(table, table_end - table, header + kTableSumAt, "the table");
  CheckZeros(metadata_end, table);
  CheckZeros(table_end, data);
  metadata_ = DecodeGgufMetadata(file_, kSectionHeaderBytes, metadata_end);
  ReadTable(table, sections);
  file_.Release(file_.bytes().first(data));
}

void SectionFile::ReadTable(std::uint64_t begin, std::uint64_t count) {
  std::uint64_t end = Padded(begin + count * kSectionEntryBytes, kSectionDataAlignment);
  for (std::uint64_t i = 0; i < count; ++i) {
    sections_.push_back(ReadEntry(begin + i * kSectionEntryBytes, Padded(end, kSectionAlignment)));
    end = OffsetOf(sections_.back()) + sections_.back().bytes.size();
    if (!index_.emplace(sections_.back().name, i).second)
      Fail(begin + i * kSectionEntryBytes, fmt::format("section {} occurs twice", sections_.back().name));
  }
  if (end != file_.bytes().size())
    Fail(end, fmt::format("{} bytes behind the last section", file_.bytes().size() - end));
}

/// The entry at `at`, whose section has to begin at `begin`.
Section SectionFile::ReadEntry(std::uint64_t at, std::uint64_t begin) {
  const auto* name = reinterpret_cast<const char*>(file_.bytes().data()) + at;
  const std::size_t length = strnlen(name, kMaxSectionName + 1);
  if (length == 0 || length > kMaxSectionName ||
      !std::all_of(name, name + length, [](char c) { return c > ' ' && c < '\x7f'; }) ||
      std::any_of(name + length, name + kMaxSectionName + 1, [](char c) { return c != 0; }))
    Fail(at, fmt::format("a name of a section must be 1 to {} ASCII characters, followed by zeros",
                         kMaxSectionName));
  Section section{.name = std::string(name, length),
                  .format = Number<std::uint32_t>(at + kFormatAt),
                  .rows = Number<std::uint64_t>(at + kRowsAt),
                  .columns = Number<std::uint64_t>(at + kColumnsAt),
                  .block = Number<std::uint64_t>(at + kBlockAt),
                  .group = Number<std::uint64_t>(at + kGroupAt),
                  .bytes = {}};
  if (Number<std::uint32_t>(at + kZeroAt) != 0) Fail(at + kZeroAt, "a field that must be 0 is not");
  const auto offset = Number<std::uint64_t>(at + kOffsetAt), bytes = Number<std::uint64_t>(at + kBytesAt);
  if (offset != begin)
    Fail(at + kOffsetAt, fmt::format("section {} is at {}, not at {}", section.name, offset, begin));
  const std::uint64_t size = file_.bytes().size();
  if (offset > size || bytes == 0 || bytes > size - offset)
    Fail(at + kBytesAt, fmt::format("section {} has {} bytes from offset {} on, the file has {}",
                                    section.name, bytes, offset, size));
  section.bytes = file_.bytes().subspan(offset, bytes);
  std::memcpy(sums_.emplace_back().data(), file_.bytes().data() + at + kSumAt, sizeof(Sum));
  return section;
}

const Section* SectionFile::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &sections_[found->second];
}

void SectionFile::Verify(const Section& section) const {
  CheckSum(OffsetOf(section), section.bytes.size(), sums_[index_.find(section.name)->second].data(),
           "section " + section.name);
}

void SectionFile::VerifyAll() const {
  for (std::size_t i = 1; i < sections_.size(); ++i)
    CheckZeros(OffsetOf(sections_[i - 1]) + sections_[i - 1].bytes.size(), OffsetOf(sections_[i]));
  ForEachSection(sections_.size(), file_.bytes().size(), [&](std::size_t i) { Verify(sections_[i]); });
}

}  // namespace forge::io
