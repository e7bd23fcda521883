// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "io/json_file.h"

namespace forge::text::jinja {

class Value;
using List = std::vector<Value>;
/// Keys in the order of insertion, as Python's dict.
using Dict = std::vector<std::pair<std::string, Value>>;

/// Positional and named arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  Dict named;
};
using Function = std::function<Value(const Arguments&)>;

/// Trouble inside a template; the interpreter adds the line.
struct RenderFailure {
  std::string why;
};
[[noreturn]] void Fail(std::string why);

struct Undefined {
  std::string name;  // for the message when it is used
};
struct None {};

/// A value of a template, with Python's rules of truth, equality, order and printing. Lists and dicts are
/// shared, as in Python; only a namespace changes after it was made.
class Value {
 public:
  Value() : data_(None{}) {}
  Value(None none) : data_(none) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(List list) : data_(std::make_shared<List>(std::move(list))) {}
  /// A list that prints as a tuple and equals only tuples.
  static Value Tuple(List list) {
    Value value(std::move(list));
    value.is_tuple_ = true;
    return value;
  }
  Value(Dict dict) : data_(std::make_shared<Dict>(std::move(dict))) {}
  Value(Function function) : data_(std::make_shared<Function>(std::move(function))) {}
  static Value FromJson(const io::OrderedJson& json);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<List>>(data_); }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<Dict>>(data_); }
  bool is_function() const { return std::holds_alternative<std::shared_ptr<Function>>(data_); }

  /// What the value is; each Fails when it is something else.
  const std::string& string() const { return Held<std::string>("a string"); }
  const List& list() const { return *Held<std::shared_ptr<List>>("a list"); }
  const Dict& dict() const { return *Held<std::shared_ptr<Dict>>("a mapping"); }
  Dict& mutable_dict() { return const_cast<Dict&>(dict()); }
  const Function& function() const { return *Held<std::shared_ptr<Function>>("a function"); }
  const std::string& undefined_name() const { return Held<Undefined>("an undefined value").name; }
  /// Of a bool, int or float.
  double number() const;
  /// Of a bool or int.
  std::int64_t integer() const;

  /// "a string", "a list", ... for messages.
  std::string TypeName() const;
  bool Truth() const;
  /// What {{ value }} prints: str(value).
  std::string Text() const;
  /// repr(value), as elements of a printed list show.
  std::string Repr() const;
  /// json.dumps(value, ensure_ascii=False, indent=indent); indent < 0: one line with ", " and ": ".
  std::string ToJson(int indent = -1) const;

  /// The entry of a dict; null when there is none.
  const Value* Find(std::string_view key) const;
  bool operator==(const Value& other) const;
  /// a < b for two numbers or two strings; throws std::invalid_argument for others.
  static bool Less(const Value& a, const Value& b);

 private:
  template <class T>
  const T& Held(const char* wanted) const {
    if (const T* held = std::get_if<T>(&data_)) return *held;
    Fail(std::string(wanted) + " is needed here, not " + TypeName());
  }

  bool is_tuple_ = false;
  void AppendJson(std::string& out, int indent, int depth) const;
  std::variant<None, Undefined, bool, std::int64_t, double, std::string, std::shared_ptr<List>,
               std::shared_ptr<Dict>, std::shared_ptr<Function>>
      data_;
};

/// Sets or adds an entry.
void Put(Dict& dict, std::string_view key, Value value);

}  // namespace forge::text::jinja
