// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/value.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace forge::text::jinja {

void Fail(std::string why) { throw RenderFailure{std::move(why)}; }

namespace {

/// repr of a float: the shortest digits that read back the same, never without a point or an exponent.
std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (value == std::floor(value) && std::abs(value) < 1e16) return fmt::format("{:.1f}", value);
  return fmt::format("{}", value);
}

std::string StringRepr(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\')
      (out += '\\') += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out += quote;
}

std::string StringJson(const std::string& text) {
  return io::Json(text).dump(-1, ' ', false, io::Json::error_handler_t::replace);
}

}  // namespace

Value Value::FromJson(const io::OrderedJson& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    List list;
    for (const io::OrderedJson& entry : json) list.push_back(FromJson(entry));
    return list;
  }
  if (json.is_object()) {
    Dict dict;
    for (const auto& [key, entry] : json.items()) dict.emplace_back(key, FromJson(entry));
    return dict;
  }
  return None{};
}

double Value::number() const {
  if (const double* value = std::get_if<double>(&data_)) return *value;
  return static_cast<double>(integer());
}

std::int64_t Value::integer() const {
  if (const bool* value = std::get_if<bool>(&data_)) return *value ? 1 : 0;
  return Held<std::int64_t>("a number");
}

std::string Value::TypeName() const {
  static constexpr const char* kNames[] = {"none",      "an undefined value", "a boolean", "an integer",
                                           "a float",   "a string",           "a list",    "a mapping",
                                           "a function"};
  return kNames[data_.index()];
}

bool Value::Truth() const {
  if (is_none() || is_undefined()) return false;
  if (is_number()) return number() != 0;
  if (is_string()) return !string().empty();
  if (is_list()) return !list().empty();
  if (is_dict()) return !dict().empty();
  return true;
}

std::string Value::Text() const {
  if (is_undefined()) return "";
  return is_string() ? string() : Repr();
}

std::string Value::Repr() const {
  if (is_none()) return "None";
  if (is_undefined()) return "Undefined";
  if (is_bool()) return integer() != 0 ? "True" : "False";
  if (is_int()) return std::to_string(integer());
  if (is_float()) return FloatText(number());
  if (is_string()) return StringRepr(string());
  std::string out;
  if (is_list()) {
    for (const Value& entry : list()) out += (out.empty() ? "" : ", ") + entry.Repr();
    if (!is_tuple_) return "[" + out + "]";
    return list().size() == 1 ? "(" + out + ",)" : "(" + out + ")";
  }
  if (is_dict()) {
    for (const auto& [key, entry] : dict())
      out += (out.empty() ? "" : ", ") + StringRepr(key) + ": " + entry.Repr();
    return "{" + out + "}";
  }
  return "<function>";
}

std::string Value::ToJson(int indent) const {
  std::string out;
  AppendJson(out, indent, 0);
  return out;
}

void Value::AppendJson(std::string& out, int indent, int depth) const {
  const auto line = [&](int at) {
    if (indent >= 0) (out += '\n').append(static_cast<std::size_t>(indent * at), ' ');
  };
  const char* comma = indent >= 0 ? "," : ", ";
  if (is_none()) {
    out += "null";
  } else if (is_bool()) {
    out += integer() != 0 ? "true" : "false";
  } else if (is_int() || is_float()) {
    out += Repr();
  } else if (is_string()) {
    out += StringJson(string());
  } else if (is_list()) {
    if (list().empty()) {
      out += "[]";
      return;
    }
    out += '[';
    for (std::size_t i = 0; i < list().size(); ++i) {
      if (i > 0) out += comma;
      line(depth + 1);
      list()[i].AppendJson(out, indent, depth + 1);
    }
    line(depth);
    out += ']';
  } else if (is_dict()) {
    if (dict().empty()) {
      out += "{}";
      return;
    }
    out += '{';
    for (std::size_t i = 0; i < dict().size(); ++i) {
      if (i > 0) out += comma;
      line(depth + 1);
      out += StringJson(dict()[i].first) + ": ";
      dict()[i].second.AppendJson(out, indent, depth + 1);
    }
    line(depth);
    out += '}';
  } else {
    throw std::invalid_argument(TypeName() + " has no JSON form");
  }
}

const Value* Value::Find(std::string_view key) const {
  if (!is_dict()) return nullptr;
  for (const auto& [name, entry] : dict())
    if (name == key) return &entry;
  return nullptr;
}

bool Value::operator==(const Value& other) const {
  if (is_number() && other.is_number())
    return is_float() || other.is_float() ? number() == other.number() : integer() == other.integer();
  if (data_.index() != other.data_.index()) return false;
  if (is_none() || is_undefined()) return true;
  if (is_string()) return string() == other.string();
  if (is_list()) return is_tuple_ == other.is_tuple_ && list() == other.list();
  if (is_dict()) {
    if (dict().size() != other.dict().size()) return false;
    for (const auto& [key, entry] : dict()) {
      const Value* found = other.Find(key);
      if (found == nullptr || !(*found == entry)) return false;
    }
    return true;
  }
  return std::get<std::shared_ptr<Function>>(data_) == std::get<std::shared_ptr<Function>>(other.data_);
}

bool Value::Less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_string() && b.is_string()) return a.string() < b.string();
  throw std::invalid_argument("cannot order " + a.TypeName() + " and " + b.TypeName());
}

void Put(Dict& dict, std::string_view key, Value value) {
  for (auto& [name, entry] : dict)
    if (name == key) {
      entry = std::move(value);
      return;
    }
  dict.emplace_back(key, std::move(value));
}

}  // namespace forge::text::jinja
