// SPDX-License-Identifier: Apache-2.0
#include "text/json_text.h"

#include <charconv>

#include "text/utf8.h"

namespace forge::text {
namespace {

bool IsHighSurrogate(char32_t code) { return code >= 0xd800 && code <= 0xdbff; }
bool IsLowSurrogate(char32_t code) { return code >= 0xdc00 && code <= 0xdfff; }

/// The characters beyond ASCII at which some programs cut lines.
bool EndsALine(char32_t code) { return code == 0x85 || code == 0x2028 || code == 0x2029; }

/// The four digits of \uXXXX, if they are there.
std::optional<char32_t> HexCode(std::string_view json, std::size_t position) {
  if (json.size() < position + 4) return std::nullopt;
  unsigned code = 0;
  const char* const begin = json.data() + position;
  const auto [end, error] = std::from_chars(begin, begin + 4, code, 16);
  if (error != std::errc() || end != begin + 4) return std::nullopt;
  return code;
}

/// Reads what follows a backslash at `position` - 1.
std::optional<JsonProblem> ReadEscape(std::string_view json, std::size_t& position, JsonBytes bytes,
                                      std::string& buffer) {
  const std::size_t start = position - 1;
  if (position == json.size()) return JsonProblem{start, "the string does not end"};
  const char kind = json[position++];
  constexpr std::string_view kKinds = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  if (const std::size_t known = kKinds.find(kind); known != std::string_view::npos) {
    buffer += kMeanings[known];
    return std::nullopt;
  }
  std::optional<char32_t> code;
  if (kind == 'u') code = HexCode(json, position);
  if (!code) return JsonProblem{start, "there is no such escape"};
  position += 4;
  if (IsHighSurrogate(*code) && json.substr(position).starts_with("\\u")) {
    const std::optional<char32_t> low = HexCode(json, position + 2);
    if (low && IsLowSurrogate(*low)) {
      position += 6;
      code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
    }
  }
  const bool lone = IsHighSurrogate(*code) || IsLowSurrogate(*code);
  if (lone && bytes == JsonBytes::kStrict) return JsonProblem{start, "half a surrogate pair"};
  if (lone && *code >= 0xdc80 && *code <= 0xdcff)
    buffer += static_cast<char>(*code - 0xdc00);
  else
    AppendUtf8(*code, buffer);
  return std::nullopt;
}

}  // namespace

std::optional<JsonProblem> ReadJsonString(std::string_view json, std::size_t& position, JsonBytes bytes,
                                          std::string_view& text, std::string& buffer) {
  if (position >= json.size() || json[position] != '"')
    return JsonProblem{position, "here should be a string"};
  const std::size_t start = ++position;
  std::size_t copied = start;  // everything before is in the buffer
  bool escaped = false;
  buffer.clear();
  for (;; ++position) {
    if (position == json.size()) return JsonProblem{start - 1, "the string does not end"};
    const auto c = static_cast<unsigned char>(json[position]);
    if (c == '"') break;
    if (c < 0x20) return JsonProblem{position, "a control character in a string must be escaped"};
    if (c >= 0x80 && bytes == JsonBytes::kStrict) {
      const Utf8Character next = DecodeUtf8(json.substr(position));
      if (!next.valid) return JsonProblem{position, "a byte that is not UTF-8"};
      position += next.length - 1;
    }
    if (c != '\\') continue;
    escaped = true;
    buffer.append(json.substr(copied, position - copied));
    ++position;
    if (auto problem = ReadEscape(json, position, bytes, buffer)) return problem;
    copied = position--;
  }
  text = json.substr(start, position - start);
  if (escaped) {
    buffer.append(json.substr(copied, position - copied));
    text = buffer;
  }
  ++position;
  return std::nullopt;
}

void AppendJsonString(std::string_view text, std::string& json) {
  constexpr const char* kHex = "0123456789abcdef";
  const auto escape = [&](const char* start, unsigned char byte) {
    json += start;
    json += {kHex[byte >> 4], kHex[byte & 15]};
  };
  json += '"';
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const Utf8Character next = DecodeUtf8(text.substr(i));
      if (next.valid && EndsALine(next.code))
        json += next.code == 0x85 ? "\\u0085" : next.code == 0x2028 ? "\\u2028" : "\\u2029";
      else if (next.valid)
        json.append(text.substr(i, next.length));
      for (std::size_t k = 0; !next.valid && k < next.length; ++k)
        escape("\\udc", static_cast<unsigned char>(text[i + k]));
      i += next.length;
      continue;
    }
    ++i;
    if (c == '"' || c == '\\')
      json += {'\\', static_cast<char>(c)};
    else if (c == '\n')
      json += "\\n";
    else if (c == '\t')
      json += "\\t";
    else if (c == '\r')
      json += "\\r";
    else if (c < 0x20)
      escape("\\u00", c);
    else
      json += static_cast<char>(c);
  }
  json += '"';
}

std::size_t SkipJsonSpace(std::string_view json, std::size_t position) {
  while (position < json.size() && (json[position] == ' ' || json[position] == '\n' ||
                                    json[position] == '\t' || json[position] == '\r'))
    ++position;
  return position;
}

std::optional<JsonProblem> ReadJsonInteger(std::string_view json, std::size_t& position, long long& value) {
  const char* const begin = json.data() + position;
  const auto [end, error] = std::from_chars(begin, json.data() + json.size(), value);
  if (error == std::errc::result_out_of_range) return JsonProblem{position, "the number is too large"};
  if (error != std::errc()) return JsonProblem{position, "here should be an integer"};
  position += static_cast<std::size_t>(end - begin);
  return std::nullopt;
}

}  // namespace forge::text
