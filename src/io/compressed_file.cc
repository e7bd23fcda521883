// SPDX-License-Identifier: Apache-2.0
#include "io/compressed_file.h"

#include <bzlib.h>
#include <fmt/format.h>
#include <zlib.h>

#include <array>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::io {
namespace {

[[noreturn]] void Refuse(const std::filesystem::path& path, const std::string& why) {
  throw Error({.what = "cannot unpack " + path.string(), .why = why, .fix = "fetch the file again"});
}

/// Collects what comes out of a decompressor, up to a limit.
class Output {
 public:
  Output(const std::filesystem::path& path, std::uint64_t most) : path_(path), most_(most) {}
  char* buffer() { return buffer_.data(); }
  unsigned size() const { return static_cast<unsigned>(buffer_.size()); }
  void Take(std::size_t left) {
    text_.append(buffer_.data(), buffer_.size() - left);
    if (text_.size() > most_) Refuse(path_, fmt::format("it unpacks to more than {} bytes", most_));
  }
  std::string text_;

 private:
  const std::filesystem::path& path_;
  std::uint64_t most_;
  std::array<char, 1 << 16> buffer_{};
};

std::string Gunzip(const std::filesystem::path& path, std::string packed, std::uint64_t most) {
  Output out(path, most);
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) Refuse(path, "zlib does not start");
  const struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } end{&stream};
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  for (int code = Z_OK;;) {
    stream.next_out = reinterpret_cast<Bytef*>(out.buffer());
    stream.avail_out = out.size();
    code = inflate(&stream, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END) Refuse(path, "it is cut off or damaged");
    out.Take(stream.avail_out);
    if (code != Z_STREAM_END) continue;
    if (stream.avail_in == 0) return std::move(out.text_);
    inflateReset(&stream);  // gzip files may be joined
  }
}

std::string Bunzip(const std::filesystem::path& path, std::string packed, std::uint64_t most) {
  Output out(path, most);
  bz_stream stream{};
  const auto start = [&] {
    if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) Refuse(path, "bzip2 does not start");
  };
  start();
  const struct End {
    bz_stream* stream;
    ~End() { BZ2_bzDecompressEnd(stream); }
  } end{&stream};
  stream.next_in = packed.data();
  stream.avail_in = static_cast<unsigned>(packed.size());
  for (;;) {
    stream.next_out = out.buffer();
    stream.avail_out = out.size();
    const int code = BZ2_bzDecompress(&stream);
    if (code != BZ_OK && code != BZ_STREAM_END) Refuse(path, "it is damaged");
    out.Take(stream.avail_out);
    if (code == BZ_OK && stream.avail_in == 0 && stream.avail_out > 0) Refuse(path, "it is cut off");
    if (code != BZ_STREAM_END) continue;
    if (stream.avail_in == 0) return std::move(out.text_);
    char* const rest = stream.next_in;  // bzip2 files may be joined
    const unsigned left = stream.avail_in;
    BZ2_bzDecompressEnd(&stream);
    stream = {};
    start();
    stream.next_in = rest;
    stream.avail_in = left;
  }
}

}  // namespace

std::string ReadMaybeCompressed(const std::filesystem::path& path, std::uint64_t most_bytes) {
  std::string content = ReadFile(path);
  const std::string extension = path.extension().string();
  if (extension == ".gz") return Gunzip(path, std::move(content), most_bytes);
  if (extension == ".bz2") return Bunzip(path, std::move(content), most_bytes);
  return content;
}

}  // namespace forge::io
