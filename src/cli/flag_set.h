// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/config_field.h"

namespace forge::cli {

/// The flags of one command. The same records parse the command line, write --help, docs/flags.md and the
/// shell completions. Nothing else in forge knows CLI11.
class FlagSet {
 public:
  struct Record {
    std::string flag;  // "--max-new-tokens", or "MODEL" for a positional
    std::string type;  // "int", "number", "text", "list", "" for a switch
    std::string shown_default;
    std::string rule;  // "1 to 100000", "auto, cpu, cuda", or empty
    std::string help;
    bool positional = false, required = false;
    std::vector<std::string> words;  // what completion offers
    std::function<void(const std::vector<std::string>&)> assign;
    bool repeatable = false;
    bool value_optional = false;
    bool given = false;
  };

  /// One flag for each field of the config, and a range check after parsing. `leave_out`: fields without a
  /// flag.
  template <class Config>
  void AddConfig(Config& config, const std::vector<std::string>& leave_out = {});
  void AddSwitch(const std::string& flag, bool& value, const std::string& help);
  void AddText(const std::string& flag, std::string& value, const std::string& help,
               const std::string& type = "text");
  void AddNumber(const std::string& flag, double& value, const std::string& help);
  void AddInteger(const std::string& flag, int& value, const std::string& help);
  void AddWord(const std::string& flag, std::string& value, const std::vector<std::string>& words,
               const std::string& help);
  void AddSeed(const std::string& flag, std::uint64_t& value, const std::string& help);
  void AddList(const std::string& flag, std::vector<std::string>& value, const std::string& help);
  /// A list that may be left out: the flag alone gives an empty one.
  void AddOptionalList(const std::string& flag, std::vector<std::string>& value, const std::string& help);
  void AddPositional(const std::string& name, std::string& value, const std::string& help,
                     bool required = true);
  void AddPositionals(const std::string& name, std::vector<std::string>& values, const std::string& help,
                      bool required = true);
  /// Another spelling of a flag that is there ("--gens" for "--generations").
  void AddAlias(const std::string& alias, const std::string& flag);

  /// Throws Error(kUsage) for what it does not know (with the nearest name), a value of the wrong type or out
  /// of range, or a missing positional.
  void Parse(const std::vector<std::string>& arguments, const std::string& command);
  bool Given(const std::string& flag) const;
  bool Has(const std::string& flag) const;
  const std::vector<Record>& records() const { return records_; }
  std::string Help(const std::string& command, const std::string& summary, const std::string& example) const;

 private:
  std::vector<Record> records_;
  std::vector<std::pair<std::string, std::string>> aliases_;
  std::vector<std::function<std::vector<std::string>()>> checks_;
};

/// Parses one value; false if the text is not of that type as a whole.
bool ParseValue(const std::string& text, bool& value);
bool ParseValue(const std::string& text, int& value);
bool ParseValue(const std::string& text, std::uint64_t& value);
bool ParseValue(const std::string& text, double& value);
bool ParseValue(const std::string& text, std::string& value);
bool ParseValue(const std::string& text, std::vector<std::string>& value);  // comma-separated
[[noreturn]] void ThrowWrongValue(const std::string& flag, const std::string& text, const std::string& type);

template <class T>
std::string TypeName() {
  if constexpr (std::is_same_v<T, bool>)
    return "";
  else if constexpr (std::is_integral_v<T>)
    return "int";
  else if constexpr (std::is_floating_point_v<T>)
    return "number";
  else if constexpr (std::is_same_v<T, std::string>)
    return "text";
  else
    return "a,b,..";
}

template <class Config>
void FlagSet::AddConfig(Config& config, const std::vector<std::string>& leave_out) {
  config.VisitFields([&](std::string_view name, auto& value, const auto& rule, std::string_view help) {
    if (std::find(leave_out.begin(), leave_out.end(), name) != leave_out.end()) return;
    using T = std::decay_t<decltype(value)>;
    std::string flag = "--" + std::string(name);
    std::replace(flag.begin(), flag.end(), '_', '-');
    Record record{.flag = flag,
                  .type = TypeName<T>(),
                  .shown_default = ShowValue(value),
                  .rule = Describe(rule),
                  .help = std::string(help)};
    if constexpr (std::is_same_v<std::decay_t<decltype(rule)>, OneOf>) record.words = rule.words;
    record.assign = [flag, &value, type = record.type](const std::vector<std::string>& texts) {
      if constexpr (std::is_same_v<T, bool>) {
        value = true;
        if (!texts.empty() && !ParseValue(texts.back(), value))
          ThrowWrongValue(flag, texts.back(), "true or false");
      } else if (!ParseValue(texts.back(), value)) {
        ThrowWrongValue(flag, texts.back(), type);
      }
    };
    records_.push_back(std::move(record));
  });
  checks_.push_back([&config] { return Problems(config); });
}

}  // namespace forge::cli
