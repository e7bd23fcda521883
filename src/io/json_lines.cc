// SPDX-License-Identifier: Apache-2.0
#include "io/json_lines.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/error.h"

namespace forge::io {
namespace {

constexpr JsonLimits kLineLimits;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// The value as it is written, cut where it is long.
std::string Show(const Json& value) {
  constexpr std::size_t kShown = 40;
  std::string text = value.dump(-1, ' ', true);  // ASCII, so that a cut leaves no half of a character
  if (text.size() > kShown) text = text.substr(0, kShown) + "..";
  return text;
}

}  // namespace

JsonLines::JsonLines(const std::filesystem::path& path, std::string form)
    : file_(path, std::ios::binary), stream_(&file_), source_(path.string()), form_(std::move(form)) {
  const bool is_folder = std::filesystem::is_directory(path);
  if (file_ && !is_folder) return;
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + source_,
               .why = is_folder                       ? "it is a folder"
                      : std::filesystem::exists(path) ? "it is not readable"
                                                      : "there is no such file",
               .fix = "give a file of lines " + form_});
}

JsonLines::JsonLines(std::istream& stream, std::string source, std::string form)
    : stream_(&stream), source_(std::move(source)), form_(std::move(form)) {}

bool JsonLines::Next() {
  while (ReadLine()) {
    std::string_view text = line_;
    if (++number_ == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (const auto problem = JsonProblem(text, kLineLimits, object_)) Fail(*problem);
    if (!object_.is_object()) Fail(fmt::format("it is no object, but {}", Show(object_)));
    return true;
  }
  return false;
}

/// False when nothing is left. A piece at a time, so that a file without line ends (zeros, a model) is
/// refused before it fills the memory.
bool JsonLines::ReadLine() {
  line_.clear();
  for (std::array<char, 1 << 14> piece;;) {
    stream_->getline(piece.data(), piece.size());
    const auto count = static_cast<std::size_t>(stream_->gcount());
    if (stream_->bad())
      throw Error({.kind = ErrorKind::kInput,
                   .what = fmt::format("cannot read {} after line {}", source_, number_),
                   .why = "the system gave an error in place of bytes",
                   .fix = "check the file and the disk that it lies on"});
    const bool is_whole = !stream_->fail() && !stream_->eof();  // else there was no \n in it
    line_.append(piece.data(), is_whole ? count - 1 : count);
    if (is_whole) return true;
    if (stream_->eof()) return !line_.empty();
    stream_->clear();
    if (line_.size() > kLineLimits.max_bytes) {
      ++number_;
      Fail(fmt::format("it has more than {} bytes", kLineLimits.max_bytes));
    }
  }
}

const Json& JsonLines::Field(const char* field) const {
  const auto found = object_.find(field);
  if (found == object_.end()) Fail(fmt::format("the field \"{}\" is missing", field));
  return *found;
}

const std::string& JsonLines::Text(const char* field) const {
  const Json& value = Field(field);
  if (!value.is_string()) Fail(fmt::format("the field \"{}\" is no text, but {}", field, Show(value)));
  return value.get_ref<const std::string&>();
}

const std::string& JsonLines::FilledText(const char* field) const {
  const std::string& text = Text(field);
  if (text.empty()) Fail(fmt::format("the field \"{}\" is empty", field));
  return text;
}

const Json& JsonLines::Array(const char* field) const {
  const Json& value = Field(field);
  if (!value.is_array()) Fail(fmt::format("the field \"{}\" is no array, but {}", field, Show(value)));
  return value;
}

std::vector<std::string> JsonLines::Texts(const char* field) const {
  std::vector<std::string> texts;
  for (const Json& entry : Array(field)) {
    if (!entry.is_string())
      Fail(fmt::format("the field \"{}\" has the entry {}, which is no text", field, Show(entry)));
    texts.push_back(entry);
  }
  return texts;
}

std::vector<int> JsonLines::Integers(const char* field) const {
  std::vector<int> integers;
  for (const Json& entry : Array(field)) {
    const bool fits = entry.is_number_unsigned()
                          ? std::in_range<int>(entry.get<std::uint64_t>())
                          : entry.is_number_integer() && std::in_range<int>(entry.get<std::int64_t>());
    if (!fits)
      Fail(fmt::format("the field \"{}\" has the entry {}, which is no whole number", field, Show(entry)));
    integers.push_back(entry.get<int>());
  }
  return integers;
}

void JsonLines::Fail(const std::string& why) const {
  throw Error({.kind = ErrorKind::kInput,
               .what = fmt::format("cannot use line {} of {}", number_, source_),
               .why = why,
               .fix = "each line must be " + form_});
}

}  // namespace forge::io
