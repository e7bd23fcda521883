// SPDX-License-Identifier: Apache-2.0
#include "io/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "io/mapped_file.h"

namespace forge::io {

namespace {

constexpr std::size_t kPieceBytes = 8 << 20;

/// The digest of bytes that come in pieces.
class Digest {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new()) {
    FORGE_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_, kind, nullptr) == 1);
  }
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void Add(std::span<const std::byte> bytes) {
    FORGE_CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
  }
  std::vector<unsigned char> FinishBytes() {
    std::vector<unsigned char> digest(EVP_MAX_MD_SIZE);
    unsigned int size = 0;
    FORGE_CHECK(EVP_DigestFinal_ex(context_, digest.data(), &size) == 1);
    digest.resize(size);
    return digest;
  }
  std::string Finish() {
    std::string text;
    for (const unsigned char byte : FinishBytes()) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  EVP_MD_CTX* context_;
};

void AddFile(Digest& digest, const MappedFile& file) {
  for (std::size_t at = 0; at < file.bytes().size(); at += kPieceBytes) {
    const auto piece = file.bytes().subspan(at, std::min(kPieceBytes, file.bytes().size() - at));
    digest.Add(piece);
    file.Release(piece);
  }
}

}  // namespace

std::string Sha256(std::span<const std::byte> bytes) {
  Digest digest(EVP_sha256());
  digest.Add(bytes);
  return digest.Finish();
}

std::array<std::byte, 32> Sha256Bytes(std::span<const std::byte> bytes) {
  Digest digest(EVP_sha256());
  digest.Add(bytes);
  std::array<std::byte, 32> sum;
  std::memcpy(sum.data(), digest.FinishBytes().data(), sum.size());
  return sum;
}

std::string Sha256OfFile(const std::filesystem::path& path) {
  Digest digest(EVP_sha256());
  AddFile(digest, MappedFile(path));
  return digest.Finish();
}

std::string GitBlobIdOfFile(const std::filesystem::path& path) {
  const MappedFile file(path);
  Digest digest(EVP_sha1());
  const std::string header = fmt::format("blob {}", file.bytes().size());
  digest.Add(std::as_bytes(std::span(header.c_str(), header.size() + 1)));  // with its zero byte
  AddFile(digest, file);
  return digest.Finish();
}

}  // namespace forge::io
