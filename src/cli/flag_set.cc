// SPDX-License-Identifier: Apache-2.0
#include "cli/flag_set.h"

#include <CLI/CLI.hpp>
#include <charconv>

#include "base/check.h"
#include "base/error.h"
#include "base/nearest_name.h"

namespace forge::cli {
namespace {

template <class T>
bool ParseWhole(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

[[noreturn]] void ThrowUsage(const std::string& command, const std::string& what, const std::string& why,
                             const std::string& fix = {}) {
  throw Error({.kind = ErrorKind::kUsage,
               .what = what,
               .why = why,
               .fix = fix.empty() ? "see forge " + command + " --help" : fix});
}

}  // namespace

bool ParseValue(const std::string& text, bool& value) {
  value = text == "true" || text == "1" || text == "yes";
  return value || text == "false" || text == "0" || text == "no";
}
bool ParseValue(const std::string& text, int& value) { return ParseWhole(text, value); }
bool ParseValue(const std::string& text, std::uint64_t& value) { return ParseWhole(text, value); }
bool ParseValue(const std::string& text, double& value) { return ParseWhole(text, value); }
bool ParseValue(const std::string& text, std::string& value) {
  value = text;
  return true;
}
bool ParseValue(const std::string& text, std::vector<std::string>& value) {
  value.clear();
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    if (end > start) value.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return !value.empty() || text.empty();
}

void ThrowWrongValue(const std::string& flag, const std::string& text, const std::string& type) {
  throw Error({.kind = ErrorKind::kUsage,
               .what = "wrong value for " + flag,
               .why = "\"" + text + "\" is not of the type " + type,
               .fix = "give " + flag + " " + type});
}

void FlagSet::AddSwitch(const std::string& flag, bool& value, const std::string& help) {
  records_.push_back({.flag = flag, .help = help, .assign = [&value](const auto&) { value = true; }});
}
void FlagSet::AddText(const std::string& flag, std::string& value, const std::string& help,
                      const std::string& type) {
  records_.push_back({.flag = flag,
                      .type = type,
                      .shown_default = value,
                      .help = help,
                      .assign = [&value](const auto& texts) { value = texts.back(); }});
}
void FlagSet::AddNumber(const std::string& flag, double& value, const std::string& help) {
  records_.push_back({.flag = flag,
                      .type = "number",
                      .shown_default = ShowValue(value),
                      .help = help,
                      .assign = [&value, flag](const auto& texts) {
                        if (!ParseValue(texts.back(), value)) ThrowWrongValue(flag, texts.back(), "number");
                      }});
}
void FlagSet::AddInteger(const std::string& flag, int& value, const std::string& help) {
  records_.push_back({.flag = flag,
                      .type = "int",
                      .shown_default = ShowValue(value),
                      .help = help,
                      .assign = [&value, flag](const auto& texts) {
                        if (!ParseValue(texts.back(), value)) ThrowWrongValue(flag, texts.back(), "int");
                      }});
}
void FlagSet::AddWord(const std::string& flag, std::string& value, const std::vector<std::string>& words,
                      const std::string& help) {
  records_.push_back({.flag = flag,
                      .type = "text",
                      .shown_default = value,
                      .rule = Describe(OneOf{words}),
                      .help = help,
                      .words = words,
                      .assign = [&value](const auto& texts) { value = texts.back(); }});
  checks_.push_back([&value, words, flag] {
    std::vector<std::string> problems;
    if (!Fits(value, OneOf{words}))
      problems.push_back(fmt::format("{} is {}; it must be {}", flag, value, Describe(OneOf{words})));
    return problems;
  });
}
void FlagSet::AddSeed(const std::string& flag, std::uint64_t& value, const std::string& help) {
  records_.push_back({.flag = flag,
                      .type = "int",
                      .shown_default = ShowValue(value),
                      .help = help,
                      .assign = [&value, flag](const auto& texts) {
                        if (!ParseValue(texts.back(), value)) ThrowWrongValue(flag, texts.back(), "int");
                      }});
}
void FlagSet::AddList(const std::string& flag, std::vector<std::string>& value, const std::string& help) {
  records_.push_back({.flag = flag,
                      .type = "a,b,..",
                      .shown_default = ShowValue(value),
                      .help = help,
                      .assign = [&value](const auto& texts) { ParseValue(texts.back(), value); }});
}
void FlagSet::AddOptionalList(const std::string& flag, std::vector<std::string>& value,
                              const std::string& help) {
  AddList(flag, value, help);
  records_.back().value_optional = true;
  records_.back().assign = [&value](const auto& texts) {
    value.clear();
    if (!texts.empty()) ParseValue(texts.back(), value);
  };
}
void FlagSet::AddPositional(const std::string& name, std::string& value, const std::string& help,
                            bool required) {
  records_.push_back({.flag = name,
                      .type = "text",
                      .help = help,
                      .positional = true,
                      .required = required,
                      .assign = [&value](const auto& texts) { value = texts.back(); }});
}
void FlagSet::AddPositionals(const std::string& name, std::vector<std::string>& values,
                             const std::string& help, bool required) {
  records_.push_back({.flag = name,
                      .type = "text",
                      .help = help,
                      .positional = true,
                      .required = required,
                      .assign = [&values](const auto& texts) { values = texts; },
                      .repeatable = true});
}
void FlagSet::AddAlias(const std::string& alias, const std::string& flag) {
  aliases_.emplace_back(alias, flag);
}

void FlagSet::Parse(const std::vector<std::string>& arguments, const std::string& command) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<std::vector<std::string>> texts(records_.size());
  std::vector<CLI::Option*> options;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const Record& record = records_[i];
    std::string names = record.flag;
    for (const auto& [alias, flag] : aliases_)
      if (flag == record.flag) names += "," + alias;
    CLI::Option* option = nullptr;
    if (record.type.empty()) {
      option = app.add_flag(names, [&texts, i](std::int64_t) { texts[i].push_back("true"); });
    } else {
      option = app.add_option(names, texts[i]);
      if (!record.repeatable)
        option->expected(record.value_optional ? 0 : 1, 1)
            ->allow_extra_args(false)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    options.push_back(option);
  }
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    ThrowUsage(command, "cannot understand the flags of forge " + command, error.what());
  }
  for (const std::string& extra : app.remaining()) {
    std::vector<std::string> flags{"--help", "--json"};
    for (const Record& record : records_)
      if (!record.positional) flags.push_back(record.flag);
    const std::string name = extra.substr(0, extra.find('='));
    const std::optional<std::string> nearest = NearestName(name, flags);
    if (extra.starts_with("-"))
      ThrowUsage(command, "unknown flag " + name, "forge " + command + " has no such flag",
                 nearest ? "did you mean " + *nearest + "?" : "");
    ThrowUsage(command, "unexpected argument \"" + extra + "\"",
               "forge " + command + " takes no more arguments");
  }
  for (std::size_t i = 0; i < records_.size(); ++i) {
    Record& record = records_[i];
    record.given = options[i]->count() > 0;
    if (record.given) record.assign(texts[i]);
    if (!record.given && record.required)
      ThrowUsage(command, "forge " + command + " needs " + record.flag, record.help);
  }
  std::vector<std::string> problems;
  for (const auto& check : checks_)
    for (std::string& problem : check()) problems.push_back(std::move(problem));
  if (!problems.empty())
    ThrowUsage(command, "cannot use these settings", fmt::format("{}", fmt::join(problems, "; ")));
}

bool FlagSet::Has(const std::string& flag) const {
  return std::any_of(records_.begin(), records_.end(),
                     [&](const Record& record) { return record.flag == flag; });
}

bool FlagSet::Given(const std::string& flag) const {
  for (const Record& record : records_)
    if (record.flag == flag) return record.given;
  FORGE_CHECK(!"a flag that this command has");
  return false;
}

std::string FlagSet::Help(const std::string& command, const std::string& summary,
                          const std::string& example) const {
  std::string usage = "forge " + command, rows;
  std::size_t width = 0;
  const auto left = [&](const Record& record) {
    std::string text = record.flag;
    for (const auto& [alias, flag] : aliases_)
      if (flag == record.flag) text += ", " + alias;
    if (record.type.empty() || record.positional) return text;
    return text + (record.value_optional ? " [" + record.type + "]" : " <" + record.type + ">");
  };
  for (const Record& record : records_) {
    width = std::max(width, left(record).size());
    if (record.positional)
      usage += (record.required ? " " : " [") + record.flag + (record.repeatable ? ".." : "") +
               (record.required ? "" : "]");
  }
  for (const Record& record : records_) {
    std::string notes;
    if (!record.rule.empty()) notes += record.rule;
    if (!record.shown_default.empty() && record.shown_default != "false" && !record.positional)
      notes += (notes.empty() ? "default " : "; default ") + record.shown_default;
    rows += fmt::format("  {:<{}}  {}{}\n", left(record), width, record.help,
                        notes.empty() ? "" : " [" + notes + "]");
  }
  rows += fmt::format("  {:<{}}  One JSON object on standard output, everything else on standard error.\n",
                      "--json", width);
  rows += fmt::format("  {:<{}}  This text.\n", "--help", width);
  return fmt::format("{}\n\nUsage: {} [flags]\n\n{}\nExample:\n  {}\n", summary, usage, rows, example);
}

}  // namespace forge::cli
