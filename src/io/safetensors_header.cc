// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "io/json_file.h"

namespace forge::io {
namespace {

constexpr std::size_t kMaxDimensions = 8;
constexpr std::size_t kMaxMetadata = 10'000;
constexpr std::size_t kMaxTensors = 1 << 17;  // a model of 4096 layers has 57 000

/// Takes the events of the parser. Outer object: names of tensors, and __metadata__; inner objects: dtype,
/// shape and data_offsets of a tensor, or texts of the metadata. Everything else is an error.
class HeaderEvents : public Json::json_sax_t {
 public:
  HeaderEvents(std::uint64_t offset, const std::filesystem::path& path) : offset_(offset), path_(path) {}

  SafetensorsHeader Finish() {
    auto& tensors = header_.tensors;
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(tensors.begin(), tensors.end(),
                                          [](const auto& a, const auto& b) { return a.name == b.name; });
    if (twice != tensors.end()) Fail(fmt::format("the header names \"{}\" twice", twice->name));
    return std::move(header_);
  }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("true or false"); }
  bool number_integer(number_integer_t value) override { return Unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return Unexpected(text); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(std::size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) override {
    Fail(fmt::format("at offset {} the header is not JSON: {}", offset_ + position, error.what()));
  }

 private:
  enum class Place { kStart, kOuter, kTensor, kShape, kOffsets, kMetadata, kEnd };

  [[noreturn]] void Fail(const std::string& why) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot read " + path_.string(),
                 .why = why,
                 .fix = "copy or write the safetensors file again"});
  }
  [[noreturn]] void FailTensor(const std::string& why) const {
    Fail(fmt::format("tensor {}: {}", name_, why));
  }
  bool Unexpected(const std::string& what) const {
    if (place_ == Place::kStart || place_ == Place::kEnd) Fail("the header must be a JSON object");
    if (place_ == Place::kOuter)
      Fail(name_ == "__metadata__" ? "__metadata__ must be an object"
                                   : fmt::format("tensor {}: its header entry must be an object", name_));
    if (place_ == Place::kMetadata) Fail(fmt::format("__metadata__ \"{}\" must be a string", field_));
    if (place_ == Place::kShape)
      FailTensor(fmt::format("its shape holds {}; it must hold numbers from 0", what));
    if (place_ == Place::kOffsets)
      FailTensor(fmt::format("its data_offsets hold {}; they must be two numbers from 0", what));
    FailTensor(
        fmt::format("its field {} is {}; a header entry has dtype (a string), shape and data_offsets "
                    "(arrays)",
                    field_, what));
  }
  void CheckTensor(const SafetensorsHeader::Tensor& tensor) const;

  std::uint64_t offset_;
  const std::filesystem::path& path_;
  SafetensorsHeader header_;
  Place place_ = Place::kStart;
  std::string name_, field_;  // where in the header
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false, has_metadata_ = false;
  std::size_t offsets_read_ = 0;
};

bool HeaderEvents::number_unsigned(number_unsigned_t value) {
  if (place_ == Place::kShape) {
    std::vector<std::int64_t>& shape = header_.tensors.back().shape;
    if (shape.size() == kMaxDimensions)
      FailTensor(fmt::format("it has more than {} dimensions", kMaxDimensions));
    if (value > std::numeric_limits<std::int64_t>::max()) FailTensor("the product of its shape is too large");
    shape.push_back(static_cast<std::int64_t>(value));
  } else if (place_ == Place::kOffsets && offsets_read_ < 2) {
    (offsets_read_++ == 0 ? header_.tensors.back().begin : header_.tensors.back().end) = value;
  } else {
    return Unexpected(fmt::format("{}", value));
  }
  return true;
}

bool HeaderEvents::string(string_t& value) {
  if (place_ == Place::kMetadata) {
    header_.metadata[field_] = value;
    if (header_.metadata.size() > kMaxMetadata)
      Fail(fmt::format("__metadata__ has more than {} entries", kMaxMetadata));
  } else if (place_ == Place::kTensor && field_ == "dtype") {
    header_.tensors.back().dtype = value;
    has_dtype_ = true;
  } else {
    return Unexpected("\"" + value + "\"");
  }
  return true;
}

bool HeaderEvents::start_object(std::size_t) {
  if (place_ == Place::kStart) {
    place_ = Place::kOuter;
  } else if (place_ == Place::kOuter && name_ == "__metadata__") {
    if (has_metadata_) Fail("the header names \"__metadata__\" twice");
    has_metadata_ = true;
    place_ = Place::kMetadata;
  } else if (place_ == Place::kOuter) {
    if (header_.tensors.size() == kMaxTensors) Fail(fmt::format("it has more than {} tensors", kMaxTensors));
    header_.tensors.emplace_back().name = name_;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    place_ = Place::kTensor;
  } else {
    return Unexpected("an object");
  }
  return true;
}

bool HeaderEvents::key(string_t& name) {
  (place_ == Place::kOuter ? name_ : field_) = name;
  if (place_ == Place::kTensor && name != "dtype" && name != "shape" && name != "data_offsets")
    return Unexpected("unknown");
  return true;
}

bool HeaderEvents::end_object() {
  if (place_ == Place::kTensor) {
    if (!has_dtype_ || !has_shape_ || !has_offsets_)
      FailTensor("its header entry must have dtype, shape and two data_offsets");
    CheckTensor(header_.tensors.back());
  }
  place_ = place_ == Place::kOuter ? Place::kEnd : Place::kOuter;
  return true;
}

bool HeaderEvents::start_array(std::size_t) {
  if (place_ != Place::kTensor || (field_ != "shape" && field_ != "data_offsets"))
    return Unexpected("an array");
  if (field_ == "shape" ? has_shape_ : has_offsets_) FailTensor("its header entry has " + field_ + " twice");
  place_ = field_ == "shape" ? Place::kShape : Place::kOffsets;
  offsets_read_ = 0;
  return true;
}

bool HeaderEvents::end_array() {
  if (place_ == Place::kShape)
    has_shape_ = true;
  else
    has_offsets_ = offsets_read_ == 2;
  place_ = Place::kTensor;
  return true;
}

void HeaderEvents::CheckTensor(const SafetensorsHeader::Tensor& tensor) const {
  const std::optional<std::uint64_t> element_bytes = BytesPerElement(tensor.dtype);
  if (!element_bytes)
    FailTensor(fmt::format("it has the dtype \"{}\", which forge does not know", tensor.dtype));
  std::uint64_t size = *element_bytes;
  constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t dimension : tensor.shape) {
    const auto length = static_cast<std::uint64_t>(dimension);
    if (length != 0 && size > kLimit / length) FailTensor("the product of its shape is too large");
    size *= length;
  }
  if (tensor.begin > tensor.end)
    FailTensor(fmt::format("data_offsets {} to {} run backwards", tensor.begin, tensor.end));
  if (tensor.end - tensor.begin != size)
    FailTensor(fmt::format("{} [{}] takes {} bytes, data_offsets {} to {} give {}", tensor.dtype,
                           fmt::join(tensor.shape, ", "), size, tensor.begin, tensor.end,
                           tensor.end - tensor.begin));
}

}  // namespace

std::optional<std::uint64_t> BytesPerElement(std::string_view dtype) {
  static const std::map<std::string_view, std::uint64_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
      {"F32", 4},  {"F64", 8}, {"I64", 8}, {"U64", 8},     {"C64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? std::nullopt : std::optional(found->second);
}

SafetensorsHeader ParseSafetensorsHeader(std::string_view text, std::uint64_t offset,
                                         const std::filesystem::path& path) {
  HeaderEvents events(offset, path);
  Json::sax_parse(text, &events);  // errors are thrown by the events
  return events.Finish();
}

}  // namespace forge::io
