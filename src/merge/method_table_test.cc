// SPDX-License-Identifier: Apache-2.0
#include "merge/method_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::merge {
namespace {

using ::testing::HasSubstr;

constexpr double kAny = std::numeric_limits<double>::max();

std::string Range(const ParameterRule& rule) {
  if (rule.type == ParameterRule::Type::kFlag) return "true, false";
  if (rule.low == -kAny) return "any";
  return rule.high == kAny ? fmt::format("from {:g}", rule.low)
                           : fmt::format("{:g} to {:g}", rule.low, rule.high);
}

std::string Default(const ParameterRule& rule) {
  if (!rule.default_value) return "must be given";
  if (rule.type == ParameterRule::Type::kFlag) return *rule.default_value != 0 ? "true" : "false";
  return fmt::format("{:g}", *rule.default_value);
}

/// The head of a method's section in docs/merge-methods.md.
std::string Section(const MethodInfo& method) {
  std::string models = method.max_models == method.min_models ? fmt::format("{}", method.min_models)
                                                              : fmt::format("{} or more", method.min_models);
  if (method.base == BaseRole::kRequired) models += " and a base";
  if (method.base == BaseRole::kOptional) models += ", with or without a base";
  std::string text =
      fmt::format("## {}\n\n{} {}. Models: {}.\n", method.name, method.summary, method.source, models);
  if (method.parameters.empty()) return text;
  text += "\n| parameter | for | default | range | meaning |\n|---|---|---|---|---|\n";
  for (const ParameterRule& rule : method.parameters)
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", rule.name,
                        rule.per_model ? "each model" : "the merge", Default(rule), Range(rule), rule.help);
  return text;
}

TEST(MethodTable, IsWhatThePageOfTheMethodsSays) {
  const std::string page = io::ReadFile(std::filesystem::path(FORGE_SOURCE_DIR) / "docs/merge-methods.md");
  for (const MethodInfo& method : MethodTable()) EXPECT_THAT(page, HasSubstr(Section(method)));
}

TEST(MethodTable, HasTheTwentyMethodsOfMergekit) { EXPECT_EQ(MethodTable().size(), 20u); }

TEST(MethodTable, NamesTheNearestMethodWhereThereIsNone) {
  EXPECT_EQ(FindMethod("tise"), nullptr);
  try {
    GetMethod("tise", "x.yml");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.fields().why, HasSubstr("did you mean \"ties\"?"));
  }
}

}  // namespace
}  // namespace forge::merge
