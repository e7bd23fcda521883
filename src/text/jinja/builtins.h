// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace forge::text::jinja {

/// What filters like map and selectattr need of the interpreter.
struct Applications {
  std::function<Value(const std::string& filter, const Value& input, const Arguments& arguments)> filter;
  std::function<bool(const std::string& test, const Value& input, const Arguments& arguments)> test;
};

/// The entries of a list, the keys of a mapping, the characters of a string; nothing for an undefined value.
/// Fails for others.
List Entries(const Value& value);
/// The characters (code points; a byte that is no UTF-8 stands for itself) of a text.
std::vector<std::string_view> Characters(std::string_view text);
/// value.name or value["name"] without methods: an entry of a mapping, else undefined; fails on an undefined
/// value.
Value Attribute(const Value& value, const std::string& name);
/// value[key]: an entry of a mapping, an element of a list or string (negative from the end), else undefined.
Value Item(const Value& value, const Value& key);
/// value[start:stop:step] by Python's rules; None for a part that is left out.
Value Slice(const Value& value, const Value& start, const Value& stop, const Value& step);
/// left op right for + - ~ * / // % **.
Value Arithmetic(const std::string& op, const Value& left, const Value& right);
bool Contains(const Value& container, const Value& value);

/// Filters, tests and methods by name; fail for a name that is not known.
Value ApplyFilter(const std::string& name, const Value& input, const Arguments& arguments,
                  const Applications& applications);
bool ApplyTest(const std::string& name, const Value& input, const Arguments& arguments);
bool IsMethod(const Value& value, const std::string& name);
Value CallMethod(const Value& value, const std::string& name, const Arguments& arguments);

}  // namespace forge::text::jinja
