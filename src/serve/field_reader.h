// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json_file.h"
#include "serve/api_error.h"

namespace forge::serve {

/// What is wrong with a request so far: a field ("messages[0].role") and a sentence each.
class FieldProblems {
 public:
  void Add(std::string field, std::string sentence, std::string code = "");
  /// All problems in one message, with field and code of the first; nothing if there is none.
  std::optional<ApiError> Report() const;

 private:
  struct Item {
    std::string field, sentence, code;
  };
  std::vector<Item> items_;
};

/// Reads the fields of one JSON object. null counts as not given. A value of the wrong type or out of range
/// is a problem and leaves the variable as it was.
class FieldReader {
 public:
  /// `prefix` comes before the names in messages: "stream_options.". All must outlive the reader.
  FieldReader(const io::Json& object, std::string prefix, FieldProblems& problems)
      : object_(object), prefix_(std::move(prefix)), problems_(problems) {}

  void Number(const std::string& name, double& value, double low, double high);
  void Integer(const std::string& name, std::optional<std::int64_t>& value, std::int64_t low,
               std::int64_t high);
  void Boolean(const std::string& name, bool& value);
  void Text(const std::string& name, std::string& value);
  /// The value of a field that is read elsewhere; none if it is not given.
  const io::Json* Find(const std::string& name);
  /// A field of OpenAI's API that forge does not have, and the values of it that change nothing.
  void Neutral(const std::string& name, const std::vector<io::Json>& values);

  void Problem(const std::string& name, const std::string& sentence, const std::string& code = "");
  /// Last: fields that nobody asked for, each with the nearest name.
  void RefuseTheRest();

 private:
  const io::Json& object_;
  const std::string prefix_;
  FieldProblems& problems_;
  std::vector<std::string> known_;
};

/// "a string", "an object", ...
std::string TypeWord(const io::Json& value);

}  // namespace forge::serve
