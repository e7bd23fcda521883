// SPDX-License-Identifier: Apache-2.0
// Methods of strings and mappings, as Python has them.
#include "text/jinja/strings.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <map>

#include "text/jinja/builtins.h"

namespace forge::text::jinja {

namespace {

constexpr std::string_view kWhiteSpace = " \t\n\r\f\v";

std::string MapCharacters(std::string_view text, utf8proc_int32_t (*change)(utf8proc_int32_t)) {
  std::string out;
  for (const std::string_view character : Characters(text)) {
    utf8proc_int32_t code = 0;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(character.data());
    if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(character.size()), &code) <= 0) {
      out += character;  // not UTF-8: stays as it is
      continue;
    }
    utf8proc_uint8_t buffer[4];
    const utf8proc_ssize_t size = utf8proc_encode_char(change(code), buffer);
    out.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(size));
  }
  return out;
}

bool IsLetter(std::string_view character) {
  utf8proc_int32_t code = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(character.data());
  if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(character.size()), &code) <= 0) return false;
  const utf8proc_category_t category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

const std::string& Text(const Arguments& arguments, std::size_t index, const char* method) {
  if (arguments.positional.size() <= index || !arguments.positional[index].is_string())
    Fail(fmt::format("{} needs a string", method));
  return arguments.positional[index].string();
}

Value StartsOrEnds(const std::string& text, const Arguments& arguments, bool starts) {
  if (arguments.positional.empty()) Fail("startswith and endswith need a string");
  const Value& wanted = arguments.positional[0];
  for (const Value& one : wanted.is_list() ? wanted.list() : List{wanted}) {
    if (!one.is_string()) Fail("startswith and endswith need strings");
    if (starts ? text.starts_with(one.string()) : text.ends_with(one.string())) return true;
  }
  return false;
}

Value Find(const std::string& text, const Arguments& arguments) {
  const std::size_t found = text.find(Text(arguments, 0, "find"));
  if (found == std::string::npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(Characters(std::string_view(text).substr(0, found)).size());
}

Value Count(const std::string& text, const Arguments& arguments) {
  const std::string& wanted = Text(arguments, 0, "count");
  if (wanted.empty()) return static_cast<std::int64_t>(Characters(text).size() + 1);
  std::int64_t count = 0;
  for (std::size_t at = text.find(wanted); at != std::string::npos;
       at = text.find(wanted, at + wanted.size()))
    ++count;
  return count;
}

using StringMethod = Value (*)(const std::string&, const Arguments&);

const std::map<std::string, StringMethod>& StringMethods() {
  static const std::map<std::string, StringMethod> methods{
      {"strip", [](const std::string& s, const Arguments& a) -> Value { return Strip(s, a, true, true); }},
      {"lstrip", [](const std::string& s, const Arguments& a) -> Value { return Strip(s, a, true, false); }},
      {"rstrip", [](const std::string& s, const Arguments& a) -> Value { return Strip(s, a, false, true); }},
      {"upper", [](const std::string& s, const Arguments&) -> Value { return Upper(s); }},
      {"lower", [](const std::string& s, const Arguments&) -> Value { return Lower(s); }},
      {"title", [](const std::string& s, const Arguments&) -> Value { return Title(s); }},
      {"capitalize", [](const std::string& s, const Arguments&) -> Value { return Capitalize(s); }},
      {"startswith",
       [](const std::string& s, const Arguments& a) -> Value { return StartsOrEnds(s, a, true); }},
      {"endswith",
       [](const std::string& s, const Arguments& a) -> Value { return StartsOrEnds(s, a, false); }},
      {"split", [](const std::string& s, const Arguments& a) -> Value { return Split(s, a); }},
      {"splitlines", [](const std::string& s, const Arguments&) -> Value { return SplitLines(s); }},
      {"replace", [](const std::string& s, const Arguments& a) -> Value { return Replace(s, a); }},
      {"find", Find},
      {"count", Count},
      {"join",
       [](const std::string& s, const Arguments& a) -> Value {
         if (a.positional.empty()) Fail("join needs a list");
         std::string out;
         bool first = true;
         for (const Value& entry : Entries(a.positional[0])) {
           if (!entry.is_string()) Fail("join needs strings, not " + entry.TypeName());
           out += (first ? "" : s) + entry.string();
           first = false;
         }
         return out;
       }},
      {"isdigit",
       [](const std::string& s, const Arguments&) -> Value {
         return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
       }},
  };
  return methods;
}

bool IsDictMethod(const std::string& name) {
  return name == "items" || name == "keys" || name == "values" || name == "get";
}

Value CallDictMethod(const Value& value, const std::string& name, const Arguments& arguments) {
  List out;
  if (name == "get") {
    if (arguments.positional.empty()) Fail("get needs a key");
    const Value& key = arguments.positional[0];
    const Value* found = key.is_string() ? value.Find(key.string()) : nullptr;
    if (found != nullptr) return *found;
    return arguments.positional.size() > 1 ? arguments.positional[1] : Value();
  }
  for (const auto& [key, entry] : value.dict()) {
    if (name == "items") out.push_back(Value::Tuple({key, entry}));
    if (name == "keys") out.emplace_back(key);
    if (name == "values") out.push_back(entry);
  }
  return out;
}

Value IndexOf(const List& list, const Arguments& arguments) {
  if (arguments.positional.empty()) Fail("index needs a value");
  const auto found = std::find(list.begin(), list.end(), arguments.positional[0]);
  if (found == list.end()) Fail(arguments.positional[0].Repr() + " is not in the list");
  return static_cast<std::int64_t>(found - list.begin());
}

}  // namespace

std::string Upper(std::string_view text) { return MapCharacters(text, utf8proc_toupper); }
std::string Lower(std::string_view text) { return MapCharacters(text, utf8proc_tolower); }

std::string Capitalize(std::string_view text) {
  const std::vector<std::string_view> characters = Characters(text);
  if (characters.empty()) return "";
  return Upper(characters[0]) + Lower(text.substr(characters[0].size()));
}

std::string Title(std::string_view text) {
  std::string out;
  bool inside = false;
  for (const std::string_view character : Characters(text)) {
    out += inside ? Lower(character) : Upper(character);
    inside = IsLetter(character);
  }
  return out;
}

std::string Strip(const std::string& text, const Arguments& arguments, bool left, bool right) {
  std::string_view taken = kWhiteSpace;
  if (!arguments.positional.empty() && !arguments.positional[0].is_none())
    taken = Text(arguments, 0, "strip");
  const std::vector<std::string_view> set = Characters(taken), characters = Characters(text);
  const auto is_taken = [&](std::string_view c) { return std::find(set.begin(), set.end(), c) != set.end(); };
  std::size_t first = 0, last = characters.size();
  while (left && first < last && is_taken(characters[first])) ++first;
  while (right && last > first && is_taken(characters[last - 1])) --last;
  std::string out;
  for (std::size_t i = first; i < last; ++i) out += characters[i];
  return out;
}

List Split(const std::string& text, const Arguments& arguments) {
  List parts;
  std::int64_t most = arguments.positional.size() > 1 && arguments.positional[1].is_int()
                          ? arguments.positional[1].integer()
                          : -1;
  std::size_t at = 0;
  if (arguments.positional.empty() || arguments.positional[0].is_none()) {  // at runs of white space
    while ((at = text.find_first_not_of(kWhiteSpace, at)) != std::string::npos) {
      std::size_t end = most == 0 ? text.find_last_not_of(kWhiteSpace) + 1
                                  : std::min(text.find_first_of(kWhiteSpace, at), text.size());
      parts.emplace_back(text.substr(at, end - at));
      at = end;
      if (most-- == 0) break;
    }
    return parts;
  }
  const std::string& separator = Text(arguments, 0, "split");
  if (separator.empty()) Fail("split needs a separator that is not empty");
  for (std::size_t end; most != 0 && (end = text.find(separator, at)) != std::string::npos;
       at = end + separator.size(), --most)
    parts.emplace_back(text.substr(at, end - at));
  parts.emplace_back(text.substr(at));
  return parts;
}

List SplitLines(const std::string& text) {
  List lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at - (end > at && text[end - 1] == '\r' ? 1 : 0)));
    at = end + 1;
  }
  return lines;
}

std::string Replace(const std::string& text, const Arguments& arguments) {
  const std::string &from = Text(arguments, 0, "replace"), &to = Text(arguments, 1, "replace");
  std::int64_t most = arguments.positional.size() > 2 && arguments.positional[2].is_int()
                          ? arguments.positional[2].integer()
                          : -1;
  if (from.empty()) Fail("replace needs a text that is not empty");
  std::string out;
  std::size_t at = 0;
  for (std::size_t found; most != 0 && (found = text.find(from, at)) != std::string::npos;
       at = found + from.size(), --most)
    out.append(text, at, found - at).append(to);
  return out.append(text, at);
}

bool IsMethod(const Value& value, const std::string& name) {
  return (value.is_string() && StringMethods().contains(name)) || (value.is_dict() && IsDictMethod(name)) ||
         (value.is_list() && name == "index");
}

Value CallMethod(const Value& value, const std::string& name, const Arguments& arguments) {
  if (!arguments.named.empty())
    Fail(fmt::format("{}() does not take the argument {}", name, arguments.named[0].first));
  if (value.is_list()) return IndexOf(value.list(), arguments);
  return value.is_string() ? StringMethods().at(name)(value.string(), arguments)
                           : CallDictMethod(value, name, arguments);
}

}  // namespace forge::text::jinja
