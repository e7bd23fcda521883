// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "base/check.h"
#include "io/gguf.h"
#include "io/gguf_size.h"

namespace forge::io {
namespace {

constexpr std::uint64_t kAlignment = 32;
constexpr std::size_t kMaxNameBytes = 63;  // GGML_MAX_NAME without its final zero

std::uint64_t Padded(std::uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
void Append(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void AppendText(std::string& out, std::string_view text) {
  Append<std::uint64_t>(out, text.size());
  out += text;
}

template <class T>
void AppendElement(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    AppendText(out, value);
  } else if constexpr (std::is_same_v<T, bool>) {
    Append<std::uint8_t>(out, value ? 1 : 0);
  } else {
    Append(out, value);
  }
}

void AppendArray(std::string& out, const GgufArray& array) {
  Append<std::uint32_t>(out, static_cast<std::uint32_t>(array.index()));
  std::visit(
      [&](const auto& values) {
        using Vector = std::decay_t<decltype(values)>;
        if constexpr (std::is_same_v<Vector, std::monostate>) {
          FORGE_CHECK(!"an array must have a type");
        } else {
          Append<std::uint64_t>(out, values.size());
          for (const typename Vector::value_type& value : values) AppendElement(out, value);
        }
      },
      array);
}

void AppendValue(std::string& out, const GgufValue& value) {
  Append<std::uint32_t>(out, static_cast<std::uint32_t>(value.index()));
  std::visit(
      [&](const auto& content) {
        if constexpr (std::is_same_v<std::decay_t<decltype(content)>, GgufArray>) {
          AppendArray(out, content);
        } else {
          AppendElement(out, content);
        }
      },
      value);
}

void AppendKeys(std::string& out, const GgufMetadata& metadata) {
  for (const auto& [key, value] : metadata) {
    AppendText(out, key);
    AppendValue(out, value);
  }
}

/// All that is before the data, with its padding.
std::string Header(const GgufMetadata& metadata, std::span<const GgufWriter::Declaration> tensors) {
  std::string header = "GGUF";
  Append<std::uint32_t>(header, 3);
  Append<std::uint64_t>(header, tensors.size());
  Append<std::uint64_t>(header, metadata.size());
  AppendKeys(header, metadata);
  std::uint64_t offset = 0;
  for (const GgufWriter::Declaration& tensor : tensors) {
    FORGE_CHECK(tensor.name.size() <= kMaxNameBytes && !tensor.shape.empty());
    AppendText(header, tensor.name);
    Append<std::uint32_t>(header, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto length = tensor.shape.rbegin(); length != tensor.shape.rend(); ++length)
      Append<std::uint64_t>(header, static_cast<std::uint64_t>(*length));
    Append<std::uint32_t>(header, static_cast<std::uint32_t>(tensor.type));
    Append<std::uint64_t>(header, offset);
    offset += PaddedTensorBytes(tensor);
  }
  header.resize(Padded(header.size()), '\0');
  return header;
}

}  // namespace

std::string EncodeGgufMetadata(const GgufMetadata& metadata) {
  std::string out;
  Append<std::uint64_t>(out, metadata.size());
  AppendKeys(out, metadata);
  return out;
}

std::uint64_t GgufWriter::TensorBytes(const Declaration& tensor) {
  std::uint64_t rows = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i)
    rows *= static_cast<std::uint64_t>(tensor.shape[i]);
  const std::size_t columns = tensor.shape.empty() ? 1 : static_cast<std::size_t>(tensor.shape.back());
  return rows * RowBytes(tensor.type, columns);
}

std::uint64_t PaddedTensorBytes(const GgufWriter::Declaration& tensor) {
  return Padded(GgufWriter::TensorBytes(tensor));
}

std::uint64_t GgufFileBytes(const GgufMetadata& metadata, std::span<const GgufWriter::Declaration> tensors) {
  std::uint64_t bytes = Header(metadata, tensors).size();
  for (const GgufWriter::Declaration& tensor : tensors) bytes += PaddedTensorBytes(tensor);
  return bytes;
}

GgufWriter::GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
                       std::vector<Declaration> tensors)
    : file_(path), tensors_(std::move(tensors)) {
  file_.Write(Header(metadata, tensors_));
  StartTensor();
}

/// Moves on to the next tensor that has bytes.
void GgufWriter::StartTensor() {
  while (current_ < tensors_.size() && (remaining_ = TensorBytes(tensors_[current_])) == 0) ++current_;
}

void GgufWriter::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    FORGE_CHECK(current_ < tensors_.size());
    const auto part = bytes.first(std::min<std::uint64_t>(bytes.size(), remaining_));
    file_.Write(part);
    bytes = bytes.subspan(part.size());
    remaining_ -= part.size();
    if (remaining_ > 0) continue;
    file_.Write(std::string(Padded(file_.size()) - file_.size(), '\0'));
    ++current_;
    StartTensor();
  }
}

void GgufWriter::Finish() {
  FORGE_CHECK(current_ == tensors_.size());
  file_.Commit();
}

}  // namespace forge::io
