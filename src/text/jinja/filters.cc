// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "text/jinja/builtins.h"
#include "text/jinja/strings.h"

namespace forge::text::jinja {
namespace {

/// One filter's view of its arguments: by place or by name.
struct Call {
  const std::string& name;
  const Value& input;
  const Arguments& arguments;
  const Applications& applications;

  const Value* Find(std::size_t place, std::string_view named) const {
    if (place < arguments.positional.size()) return &arguments.positional[place];
    for (const auto& [key, value] : arguments.named)
      if (key == named) return &value;
    return nullptr;
  }
  Value Get(std::size_t place, std::string_view named, Value otherwise) const {
    const Value* found = Find(place, named);
    return found != nullptr ? *found : std::move(otherwise);
  }
  std::int64_t Integer(std::size_t place, std::string_view named, std::int64_t otherwise) const {
    const Value value = Get(place, named, otherwise);
    if (!value.is_int() && !value.is_bool())
      Fail(fmt::format("the argument {} of {} is no integer", named, name));
    return value.integer();
  }
  /// The input as text; numbers and the like are printed first, as Jinja's filters on strings do.
  std::string Text() const { return input.Text(); }
  std::string AttributeName(std::size_t place) const {
    const Value* found = Find(place, "attribute");
    if (found == nullptr || !found->is_string()) Fail(name + " needs the name of an attribute");
    return found->string();
  }
  /// The arguments from `place` on, for the filter or test that this one applies.
  Arguments Rest(std::size_t place) const {
    Arguments rest;
    for (std::size_t i = place; i < arguments.positional.size(); ++i)
      rest.positional.push_back(arguments.positional[i]);
    rest.named = arguments.named;
    return rest;
  }
};

/// entry.a.b for "a.b".
Value Path(Value value, const std::string& path) {
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('.', at), path.size());
    value = Attribute(value, path.substr(at, end - at));
    at = end + 1;
  }
  return value;
}

Value Default(const Call& call) {
  const bool also_false = call.Get(1, "boolean", false).Truth();
  const bool is_missing = call.input.is_undefined() || (also_false && !call.input.Truth());
  return is_missing ? call.Get(0, "default_value", "") : call.input;
}

Value Join(const Call& call) {
  const std::string separator = call.Get(0, "d", "").Text();
  const Value* attribute = call.Find(1, "attribute");
  std::string out;
  bool first = true;
  for (const Value& entry : Entries(call.input)) {
    out += (first ? "" : separator) + (attribute != nullptr ? Path(entry, attribute->Text()) : entry).Text();
    first = false;
  }
  return out;
}

Value Length(const Call& call) { return static_cast<std::int64_t>(Entries(call.input).size()); }

Value First(const Call& call) {
  const List entries = Entries(call.input);
  return entries.empty() ? Value(Undefined{"first"}) : entries.front();
}
Value Last(const Call& call) {
  const List entries = Entries(call.input);
  return entries.empty() ? Value(Undefined{"last"}) : entries.back();
}

Value ToInt(const Call& call) {
  const Value otherwise = call.Get(0, "default", std::int64_t{0});
  if (call.input.is_float()) {
    if (!(std::abs(call.input.number()) < 9.2e18)) return otherwise;
    return static_cast<std::int64_t>(call.input.number());
  }
  if (call.input.is_number()) return call.input.integer();
  try {
    const std::string text = Strip(call.Text(), {}, true, true);
    std::size_t used = 0;
    const long long number = std::stoll(text, &used);
    if (used == text.size()) return static_cast<std::int64_t>(number);
    return static_cast<std::int64_t>(std::stod(text));
  } catch (const std::logic_error&) {
    return otherwise;
  }
}
Value ToFloat(const Call& call) {
  if (call.input.is_number()) return call.input.number();
  try {
    return std::stod(call.Text());
  } catch (const std::logic_error&) {
    return call.Get(0, "default", 0.0);
  }
}

Value Round(const Call& call) {
  const double scale = std::pow(10.0, static_cast<double>(call.Integer(0, "precision", 0)));
  return std::nearbyint(call.input.number() * scale) / scale;
}

Value Absolute(const Call& call) {
  if (!call.input.is_number()) Fail("abs needs a number");
  if (call.input.is_float()) return std::abs(call.input.number());
  if (call.input.integer() == INT64_MIN) Fail("a number is too large");
  return std::abs(call.input.integer());
}

Value Reverse(const Call& call) {
  List entries = Entries(call.input);
  std::reverse(entries.begin(), entries.end());
  if (!call.input.is_string()) return entries;
  std::string text;
  for (const Value& character : entries) text += character.string();
  return text;
}

bool LessFolded(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return Lower(a.string()) < Lower(b.string());
  return Value::Less(a, b);
}

Value Sort(const Call& call) {
  List entries = Entries(call.input);
  const bool reverse = call.Get(0, "reverse", false).Truth(),
             exact = call.Get(1, "case_sensitive", false).Truth();
  const Value* attribute = call.Find(2, "attribute");
  const auto key = [&](const Value& entry) {
    return attribute != nullptr ? Path(entry, attribute->Text()) : entry;
  };
  std::stable_sort(entries.begin(), entries.end(), [&](const Value& a, const Value& b) {
    const Value x = key(reverse ? b : a), y = key(reverse ? a : b);
    return exact ? Value::Less(x, y) : LessFolded(x, y);
  });
  return entries;
}

Value DictSort(const Call& call) {
  if (!call.input.is_dict()) Fail("dictsort needs a mapping");
  List pairs;
  for (const auto& [key, value] : call.input.dict()) pairs.push_back(Value::Tuple({key, value}));
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Value& a, const Value& b) { return LessFolded(a.list()[0], b.list()[0]); });
  return pairs;
}

Value Items(const Call& call) {
  if (call.input.is_undefined()) return List{};
  if (!call.input.is_dict()) Fail("items needs a mapping");
  return CallMethod(call.input, "items", {});
}

Value Unique(const Call& call) {
  List kept, keys;
  const bool exact = call.Get(0, "case_sensitive", false).Truth();
  for (const Value& entry : Entries(call.input)) {
    const Value key = entry.is_string() && !exact ? Value(Lower(entry.string())) : entry;
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    keys.push_back(key);
    kept.push_back(entry);
  }
  return kept;
}

Value Extreme(const Call& call, bool largest) {
  const List entries = Entries(call.input);
  if (entries.empty()) return Undefined{call.name};
  const Value* best = &entries[0];
  for (const Value& entry : entries)
    if (largest ? LessFolded(*best, entry) : LessFolded(entry, *best)) best = &entry;
  return *best;
}

Value Sum(const Call& call) {
  const Value* attribute = call.Find(0, "attribute");
  Value sum = call.Get(1, "start", std::int64_t{0});
  for (const Value& entry : Entries(call.input))
    sum = Arithmetic("+", sum, attribute != nullptr ? Path(entry, attribute->Text()) : entry);
  return sum;
}

Value Indent(const Call& call) {
  const Value width = call.Get(0, "width", std::int64_t{4});
  if (!width.is_string() && (!width.is_int() || width.integer() < 0 || width.integer() > 1000))
    Fail("indent takes 0 to 1000 blanks, or a text");
  const std::string blanks =
      width.is_string() ? width.string() : std::string(static_cast<std::size_t>(width.integer()), ' ');
  const bool first = call.Get(1, "first", false).Truth(), blank = call.Get(2, "blank", false).Truth();
  std::string out;
  const std::string text = call.Text();
  for (std::size_t at = 0, line = 0; at <= text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (line > 0) out += '\n';
    if ((line > 0 || first) && (blank || end > at)) out += blanks;
    out.append(text, at, end - at);
    at = end + 1;
  }
  return out;
}

Value Escape(const Call& call) {
  std::string out;
  for (const char c : call.Text()) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Value ToJsonFilter(const Call& call) {
  const Value indent = call.Get(0, "indent", None{});
  if (call.input.is_undefined())
    Fail(fmt::format("'{}' is undefined and has no JSON form", call.input.undefined_name()));
  if (!indent.is_none() && (!indent.is_int() || indent.integer() < 0 || indent.integer() > 100))
    Fail("indent of tojson must be 0 to 100");
  for (const auto& [name, value] : call.arguments.named)
    if (name != "indent" && name != "ensure_ascii") Fail("tojson does not take the argument " + name);
  return call.input.ToJson(indent.is_none() ? -1 : static_cast<int>(indent.integer()));
}

Value Map(const Call& call) {
  List out;
  const Value* attribute = call.arguments.positional.empty() ? call.Find(0, "attribute") : nullptr;
  const Value* otherwise = attribute != nullptr ? call.Find(1, "default") : nullptr;
  if (attribute == nullptr && call.arguments.positional.empty()) Fail("map needs a filter or attribute=");
  for (const Value& entry : Entries(call.input)) {
    if (attribute != nullptr) {
      const Value value = Path(entry, attribute->Text());
      out.push_back(value.is_undefined() && otherwise != nullptr ? *otherwise : value);
    } else {
      out.push_back(call.applications.filter(call.arguments.positional[0].Text(), entry, call.Rest(1)));
    }
  }
  return out;
}

/// select, reject (by_attribute false), selectattr, rejectattr.
Value Select(const Call& call, bool by_attribute, bool keep) {
  const std::size_t place = by_attribute ? 1 : 0;
  const Value* test = call.Find(place, "");
  List out;
  for (const Value& entry : Entries(call.input)) {
    const Value value = by_attribute ? Path(entry, call.AttributeName(0)) : entry;
    const bool holds =
        test != nullptr ? call.applications.test(test->Text(), value, call.Rest(place + 1)) : value.Truth();
    if (holds == keep) out.push_back(entry);
  }
  return out;
}

using Filter = Value (*)(const Call&);

const std::map<std::string, Filter>& Filters() {
  static const std::map<std::string, Filter> filters{
      {"abs", Absolute},
      {"capitalize", [](const Call& c) -> Value { return Capitalize(c.Text()); }},
      {"count", Length},
      {"d", Default},
      {"default", Default},
      {"dictsort", DictSort},
      {"e", Escape},
      {"escape", Escape},
      {"first", First},
      {"float", ToFloat},
      {"indent", Indent},
      {"int", ToInt},
      {"items", Items},
      {"join", Join},
      {"last", Last},
      {"length", Length},
      {"list", [](const Call& c) -> Value { return Entries(c.input); }},
      {"lower", [](const Call& c) -> Value { return Lower(c.Text()); }},
      {"map", Map},
      {"max", [](const Call& c) -> Value { return Extreme(c, true); }},
      {"min", [](const Call& c) -> Value { return Extreme(c, false); }},
      {"reject", [](const Call& c) -> Value { return Select(c, false, false); }},
      {"rejectattr", [](const Call& c) -> Value { return Select(c, true, false); }},
      {"replace", [](const Call& c) -> Value { return Replace(c.Text(), c.arguments); }},
      {"reverse", Reverse},
      {"round", Round},
      {"safe", [](const Call& c) -> Value { return c.input; }},
      {"select", [](const Call& c) -> Value { return Select(c, false, true); }},
      {"selectattr", [](const Call& c) -> Value { return Select(c, true, true); }},
      {"sort", Sort},
      {"string", [](const Call& c) -> Value { return c.Text(); }},
      {"sum", Sum},
      {"title", [](const Call& c) -> Value { return Title(c.Text()); }},
      {"tojson", ToJsonFilter},
      {"trim", [](const Call& c) -> Value { return Strip(c.Text(), c.arguments, true, true); }},
      {"unique", Unique},
      {"upper", [](const Call& c) -> Value { return Upper(c.Text()); }},
  };
  return filters;
}

}  // namespace

Value ApplyFilter(const std::string& name, const Value& input, const Arguments& arguments,
                  const Applications& applications) {
  const auto found = Filters().find(name);
  if (found == Filters().end()) Fail("the filter " + name + " is not supported");
  return found->second(Call{name, input, arguments, applications});
}

bool ApplyTest(const std::string& name, const Value& input, const Arguments& arguments) {
  const auto other = [&]() -> const Value& {
    if (arguments.positional.empty()) Fail("the test " + name + " needs a value to compare with");
    return arguments.positional[0];
  };
  const auto modulo = [&](std::int64_t divisor) {
    if (!input.is_int() || divisor == 0) Fail("the test " + name + " needs integers");
    return divisor == -1 ? 0 : input.integer() % divisor;
  };
  if (name == "defined") return !input.is_undefined();
  if (name == "undefined") return input.is_undefined();
  if (name == "none") return input.is_none();
  if (name == "string") return input.is_string();
  if (name == "number") return input.is_number();
  if (name == "integer") return input.is_int();
  if (name == "float") return input.is_float();
  if (name == "boolean") return input.is_bool();
  if (name == "true") return input.is_bool() && input.integer() == 1;
  if (name == "false") return input.is_bool() && input.integer() == 0;
  if (name == "mapping") return input.is_dict();
  if (name == "sequence")
    return input.is_list() || input.is_string() || input.is_dict() || input.is_undefined();
  if (name == "iterable")
    return input.is_list() || input.is_string() || input.is_dict() || input.is_undefined();
  if (name == "callable") return input.is_function();
  if (name == "lower") return input.Text() == Lower(input.Text());
  if (name == "upper") return input.Text() == Upper(input.Text());
  if (name == "odd") return modulo(2) != 0;
  if (name == "even") return modulo(2) == 0;
  if (name == "divisibleby") return modulo(other().is_int() ? other().integer() : 0) == 0;
  if (name == "eq" || name == "equalto" || name == "==") return input == other();
  if (name == "ne" || name == "!=") return !(input == other());
  if (name == "lt" || name == "<" || name == "lessthan") return Value::Less(input, other());
  if (name == "gt" || name == ">" || name == "greaterthan") return Value::Less(other(), input);
  if (name == "le" || name == "<=") return !Value::Less(other(), input);
  if (name == "ge" || name == ">=") return !Value::Less(input, other());
  if (name == "in") return Contains(other(), input);
  if (name == "sameas") return input == other();
  Fail("the test " + name + " is not supported");
}

}  // namespace forge::text::jinja
