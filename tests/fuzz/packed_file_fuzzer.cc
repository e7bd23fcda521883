// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "io/sha256.h"
#include "runtime/packed_file.h"
#include "tests/fuzz/fuzz_input.h"
#include "text/gguf_tokenizer.h"

namespace {

/// Makes the checksums of header, metadata and table right, as far as these lie in the file: nothing beyond
/// them would ever be reached else.
void Seal(std::string& bytes) {
  using namespace forge::io;
  if (bytes.size() < kSectionHeaderBytes) return;
  const auto number = [&](std::size_t at) {
    std::uint64_t value;
    std::memcpy(&value, bytes.data() + at, 8);
    return value;
  };
  const auto sum = [&](std::size_t at, std::uint64_t begin, std::uint64_t size) {
    if (begin > bytes.size() || size > bytes.size() - begin) return;
    const auto digest = Sha256Bytes(std::as_bytes(std::span(bytes)).subspan(begin, size));
    std::memcpy(bytes.data() + at, digest.data(), digest.size());
  };
  const std::uint64_t file_bytes = bytes.size();
  if (number(16) % 2 == 0) std::memcpy(bytes.data() + 16, &file_bytes, 8);
  sum(64, 160, number(32));
  sum(96, number(40), number(48) * kSectionEntryBytes);
  sum(128, 0, 128);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(forge::fuzz::Text(data, size));
  Seal(bytes);
  const forge::fuzz::InputFile input(bytes);
  forge::fuzz::Expect([&] {
    const auto file = std::make_shared<const forge::io::SectionFile>(input.path());
    forge::fuzz::Expect([&] { forge::runtime::OpenPackedFile(file); });
    forge::fuzz::Expect([&] { file->VerifyAll(); });
    forge::text::ReadGgufTokenizer(file->metadata(), input.path());
  });
  return 0;
}
