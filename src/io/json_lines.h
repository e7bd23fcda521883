// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <istream>
#include <string>
#include <vector>

#include "io/json_file.h"

namespace forge::io {

/// Reads JSON lines: one object on each line. Holds one line at a time, so that a file may be larger than
/// memory and lines of a pipe are there as they come. Lines end with \n or \r\n, the last one may end
/// without; lines of white space are skipped, as is a byte-order mark of UTF-8 before the first one.
///
///   JsonLines lines(path, "{\"prompt\": .., \"completion\": ..}");
///   while (lines.Next()) items.push_back({lines.FilledText("prompt"), lines.FilledText("completion")});
///
/// Whatever cannot be used throws Error(kInput) that names the line, the source and `form`, what a line
/// should look like.
class JsonLines {
 public:
  JsonLines(const std::filesystem::path& path, std::string form);
  /// `stream` is used until the end of this object; `source` names it in errors ("standard input").
  JsonLines(std::istream& stream, std::string source, std::string form);
  JsonLines(const JsonLines&) = delete;  // stream_ may point into it
  JsonLines& operator=(const JsonLines&) = delete;

  /// Goes to the next line; false at the end.
  bool Next();
  /// From 1, counting the skipped ones.
  std::size_t number() const { return number_; }
  const Json& object() const { return object_; }
  bool Has(const char* field) const { return object_.contains(field); }

  /// A field that must be there, of this type.
  const std::string& Text(const char* field) const;
  const std::string& FilledText(const char* field) const;   // not empty
  std::vector<std::string> Texts(const char* field) const;  // an array
  std::vector<int> Integers(const char* field) const;       // an array

  [[noreturn]] void Fail(const std::string& why) const;

 private:
  bool ReadLine();
  const Json& Field(const char* field) const;
  const Json& Array(const char* field) const;

  std::ifstream file_;
  std::istream* stream_;
  std::string source_, form_, line_;
  std::size_t number_ = 0;
  Json object_;
};

}  // namespace forge::io
