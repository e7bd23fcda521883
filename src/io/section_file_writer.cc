// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "base/check.h"
#include "io/atomic_file.h"
#include "io/section_file.h"
#include "io/section_layout.h"
#include "io/sha256.h"

namespace forge::io {
namespace {

template <class T>
void Append(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void AppendSum(std::string& out, std::span<const std::byte> bytes) {
  const auto sum = Sha256Bytes(bytes);
  out.append(reinterpret_cast<const char*>(sum.data()), sum.size());
}
std::span<const std::byte> BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

void AppendEntry(std::string& table, const Section& section, std::uint64_t offset,
                 std::span<const std::byte> sum) {
  FORGE_CHECK(!section.name.empty() && section.name.size() <= kMaxSectionName && !section.bytes.empty());
  table += section.name;
  table.append(kMaxSectionName + 1 - section.name.size(), '\0');
  Append<std::uint32_t>(table, section.format);
  Append<std::uint32_t>(table, 0);
  for (const std::uint64_t number :
       {section.rows, section.columns, section.block, section.group, offset, section.bytes.size()})
    Append<std::uint64_t>(table, number);
  table.append(reinterpret_cast<const char*>(sum.data()), sum.size());
}

}  // namespace

void WriteSectionFile(const std::filesystem::path& path, const GgufMetadata& metadata,
                      std::span<const Section> sections) {
  const std::string keys = EncodeGgufMetadata(metadata);
  const std::uint64_t table_offset = Padded(kSectionHeaderBytes + keys.size(), kSectionAlignment);
  const std::uint64_t table_end = table_offset + sections.size() * kSectionEntryBytes;
  std::vector<std::array<std::byte, 32>> sums(sections.size());
  std::uint64_t bytes = 0;
  for (const Section& section : sections) bytes += section.bytes.size();
  ForEachSection(sections.size(), bytes, [&](std::size_t i) { sums[i] = Sha256Bytes(sections[i].bytes); });
  std::string table;
  std::uint64_t end = Padded(table_end, kSectionDataAlignment);
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::uint64_t offset = Padded(end, kSectionAlignment);
    AppendEntry(table, sections[i], offset, sums[i]);
    end = offset + sections[i].bytes.size();
  }
  std::string header(kSectionFileMagic.data(), kSectionFileMagic.size());
  Append<std::uint32_t>(header, kSectionFileVersion);
  Append<std::uint32_t>(header, kSectionHeaderBytes);
  for (const std::uint64_t number :
       {end, kSectionHeaderBytes, std::uint64_t{keys.size()}, table_offset, std::uint64_t{sections.size()},
        Padded(table_end, kSectionDataAlignment)})
    Append<std::uint64_t>(header, number);
  AppendSum(header, BytesOf(keys));
  AppendSum(header, BytesOf(table));
  AppendSum(header, BytesOf(header));
  FORGE_CHECK(header.size() == kSectionHeaderBytes);

  AtomicFile file(path);
  const auto pad_to = [&](std::uint64_t offset) { file.Write(std::string(offset - file.size(), '\0')); };
  file.Write(header);
  file.Write(keys);
  pad_to(table_offset);
  file.Write(table);
  pad_to(Padded(table_end, kSectionDataAlignment));
  for (const Section& section : sections) {
    pad_to(Padded(file.size(), kSectionAlignment));
    file.Write(section.bytes);
  }
  FORGE_CHECK(file.size() == end);
  file.Commit();
}

}  // namespace forge::io
