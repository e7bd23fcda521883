// SPDX-License-Identifier: Apache-2.0
// Python's rules for indexing and arithmetic.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/builtins.h"

namespace forge::text::jinja {
namespace {

constexpr std::size_t kMostRepeated = 1 << 20;  // length of text * number
constexpr std::size_t kMostJoined = 64u << 20;  // bytes of text + text

std::int64_t Integer(const Value& value, const char* what) {
  if (!value.is_int() && !value.is_bool())
    Fail(fmt::format("{} is {}, not an integer", what, value.TypeName()));
  return value.integer();
}

Value Add(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    if (a.string().size() + b.string().size() > kMostJoined) Fail("a text is longer than 64 MiB");
    return a.string() + b.string();
  }
  if (a.is_list() && b.is_list()) {
    if (a.list().size() + b.list().size() > kMostRepeated) Fail("a list is too long");
    List sum = a.list();
    sum.insert(sum.end(), b.list().begin(), b.list().end());
    return sum;
  }
  Fail(fmt::format("cannot add {} and {}", a.TypeName(), b.TypeName()));
}

Value Repeat(const Value& value, std::int64_t count) {
  const std::size_t size = value.is_string() ? value.string().size() : value.list().size();
  if (count > 0 && size > kMostRepeated / static_cast<std::size_t>(count)) Fail("a repetition is too long");
  std::string text;
  List list;
  for (std::int64_t i = 0; i < count; ++i) {
    if (value.is_string())
      text += value.string();
    else
      list.insert(list.end(), value.list().begin(), value.list().end());
  }
  return value.is_string() ? Value(text) : Value(list);
}

Value FloatArithmetic(const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) Fail("division by zero");
  if (op == "/") return a / b;
  if (op == "//") return std::floor(a / b);
  return a - b * std::floor(a / b);
}

std::int64_t Power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  for (std::int64_t i = 0; i < exponent && result != 0 && (base != 1 || i < 1); ++i)
    if (__builtin_mul_overflow(result, base, &result)) Fail("a number is too large");
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  return result;
}

Value IntegerArithmetic(const std::string& op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
  if (op == "**") {
    if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
    return a == -1 ? Value(std::int64_t{b % 2 == 0 ? 1 : -1}) : Value(Power(a, b));
  }
  if (op == "/" || op == "//" || op == "%") {
    if (b == 0) Fail("division by zero");
    if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
    if (b == -1) {  // the one quotient that does not fit, and the one remainder that traps
      if (op == "%") return std::int64_t{0};
      overflow = __builtin_sub_overflow(std::int64_t{0}, a, &result);
    } else {
      const bool rounds_up = a % b != 0 && (a % b < 0) != (b < 0);  // C++ rounds to zero, Python down
      result = op == "//" ? a / b - rounds_up : a % b + (rounds_up ? b : 0);
    }
  }
  if (overflow) Fail("a number is too large");
  return result;
}

}  // namespace

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    std::size_t length = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (at + length > text.size()) length = 1;
    for (std::size_t i = 1; i < length; ++i)
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) length = 1;
    characters.push_back(text.substr(at, length));
    at += length;
  }
  return characters;
}

List Entries(const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_list()) return value.list();
  List entries;
  if (value.is_dict())
    for (const auto& [key, entry] : value.dict()) entries.emplace_back(key);
  else if (value.is_string())
    for (const std::string_view character : Characters(value.string()))
      entries.emplace_back(std::string(character));
  else
    Fail("cannot go through " + value.TypeName());
  return entries;
}

Value Attribute(const Value& value, const std::string& name) {
  if (value.is_undefined())
    Fail(fmt::format("'{}' is undefined, so it has no '{}'", value.undefined_name(), name));
  if (const Value* found = value.Find(name)) return *found;
  return Undefined{name};
}

Value Item(const Value& value, const Value& key) {
  if (value.is_dict() || value.is_undefined()) {
    if (key.is_string() || value.is_undefined()) return Attribute(value, key.Text());
    return Undefined{key.Text()};
  }
  if (!value.is_list() && !value.is_string()) return Undefined{key.Text()};
  if (!key.is_int() && !key.is_bool()) return Undefined{key.Text()};
  const List entries = Entries(value);
  const auto size = static_cast<std::int64_t>(entries.size());
  const std::int64_t index = key.integer() < 0 ? key.integer() + size : key.integer();
  if (index < 0 || index >= size) return Undefined{key.Text()};
  return entries[static_cast<std::size_t>(index)];
}

Value Slice(const Value& value, const Value& start, const Value& stop, const Value& step_value) {
  if (!value.is_list() && !value.is_string()) Fail("cannot cut " + value.TypeName());
  const List entries = Entries(value);
  const auto size = static_cast<std::int64_t>(entries.size());
  const std::int64_t step = step_value.is_none() ? 1 : Integer(step_value, "the step of a slice");
  if (step == 0) Fail("the step of a slice is 0");
  const auto place = [&](const Value& bound, std::int64_t otherwise) {
    if (bound.is_none()) return otherwise;
    std::int64_t index = Integer(bound, "the bound of a slice");
    if (index < 0) index += size;
    return step > 0 ? std::clamp<std::int64_t>(index, 0, size)
                    : std::clamp<std::int64_t>(index, -1, size - 1);
  };
  const std::int64_t first = place(start, step > 0 ? 0 : size - 1), end = place(stop, step > 0 ? size : -1);
  List taken;
  std::int64_t index = first;
  while (step > 0 ? index < end : index > end) {
    taken.push_back(entries[static_cast<std::size_t>(index)]);
    if (__builtin_add_overflow(index, step, &index)) break;
  }
  if (value.is_list()) return taken;
  std::string text;
  for (const Value& character : taken) text += character.string();
  return text;
}

Value Arithmetic(const std::string& op, const Value& left, const Value& right) {
  if (op == "~") return Add(left.Text(), right.Text());
  for (const Value* side : {&left, &right})
    if (side->is_undefined()) Fail(fmt::format("'{}' is undefined", side->undefined_name()));
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) return FloatArithmetic(op, left.number(), right.number());
    return IntegerArithmetic(op, left.integer(), right.integer());
  }
  if (op == "+") return Add(left, right);
  if (op == "*" && (left.is_string() || left.is_list()) && right.is_int())
    return Repeat(left, right.integer());
  if (op == "*" && (right.is_string() || right.is_list()) && left.is_int())
    return Repeat(right, left.integer());
  Fail(fmt::format("cannot use {} on {} and {}", op, left.TypeName(), right.TypeName()));
}

bool Contains(const Value& container, const Value& value) {
  if (container.is_string()) {
    if (!value.is_string()) Fail("cannot look for " + value.TypeName() + " in a string");
    return container.string().find(value.string()) != std::string::npos;
  }
  if (container.is_dict()) return value.is_string() && container.Find(value.string()) != nullptr;
  const List entries = Entries(container);
  return std::find(entries.begin(), entries.end(), value) != entries.end();
}

}  // namespace forge::text::jinja
