// SPDX-License-Identifier: Apache-2.0
#include "io/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "io/mapped_file.h"

namespace forge::io {

std::string Sha256(std::span<const std::byte> bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  FORGE_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string Sha256OfFile(const std::filesystem::path& path) { return Sha256(MappedFile(path).bytes()); }

}  // namespace forge::io
