// SPDX-License-Identifier: Apache-2.0
#include "merge/tokenizer_setting.h"

#include <fmt/format.h>

#include <limits>

#include "merge/model_name.h"

namespace forge::merge {
namespace {

/// A whole number of at least `low` under a key; nothing where it is absent. Notes anything else.
std::optional<int> ReadWhole(const io::Json& mapping, std::string_view key, int low, const std::string& path,
                             ConfigProblems& problems) {
  const io::Json* value = FindValue(mapping, key);
  if (value == nullptr) return std::nullopt;
  const std::int64_t number = value->is_number_integer() ? value->get<std::int64_t>() : -1;
  if (number >= low && number <= std::numeric_limits<int>::max()) return static_cast<int>(number);
  problems.Add(Below(path, key),
               fmt::format("is {}; it must be a whole number of at least {}", Shown(*value), low));
  return std::nullopt;
}

/// {kind: zero} or {kind: model_token, model, token | token_id}.
void ReadKind(const io::Json& json, const std::string& path, TokenOverride& override,
              ConfigProblems& problems) {
  const std::string kind = problems.Text(json, "kind", path);
  if (kind == "zero") {
    override.kind = TokenOverride::Kind::kZero;
    problems.CheckMapping(json, path, {"kind"});
    return;
  }
  if (kind != "model_token") return problems.Add(Below(path, "kind"), "must be zero or model_token");
  override.kind = TokenOverride::Kind::kModelToken;
  problems.CheckMapping(json, path, {"kind", "model", "token", "token_id"});
  if (const io::Json* model = FindValue(json, "model"))
    override.model = ReadModelName(*model, Below(path, "model"), problems);
  else
    problems.Add(path, "has no model");
  override.source_token = problems.Text(json, "token", path);
  override.source_id = ReadWhole(json, "token_id", 0, path, problems).value_or(-1);
  if ((FindValue(json, "token") == nullptr) == (FindValue(json, "token_id") == nullptr))
    problems.Add(path, "must have either token or token_id");
}

TokenOverride ReadOverride(const std::string& token, const io::Json& json, const std::string& path,
                           ConfigProblems& problems) {
  TokenOverride override{.token = token};
  if (!problems.CheckMapping(json, path, {"source", "force"})) return override;
  if (const io::Json* force = FindValue(json, "force")) {
    if (force->is_boolean())
      override.force = force->get<bool>();
    else
      problems.Add(Below(path, "force"), fmt::format("is {}; it must be true or false", Shown(*force)));
  }
  const std::string at = Below(path, "source");
  const io::Json* source = FindValue(json, "source");
  if (source == nullptr)
    problems.Add(path, "has no source; it is a model, {kind: zero} or {kind: model_token, ...}");
  else if (source->is_object() && source->contains("kind"))
    ReadKind(*source, at, override, problems);
  else
    override.model = ReadModelName(*source, at, problems);
  return override;
}

void ReadSource(const io::Json& json, const std::string& path, TokenizerSetting& setting,
                ConfigProblems& problems) {
  if (json == "union" || json == "base") {
    setting.source = json == "union" ? TokenizerSetting::Source::kUnion : TokenizerSetting::Source::kBase;
    return;
  }
  setting.source = TokenizerSetting::Source::kModel;
  setting.model = ReadModelName(json, path, problems);
}

}  // namespace

std::optional<TokenizerSetting> ReadTokenizerSetting(const io::Json& config, const std::string& path,
                                                     ConfigProblems& problems) {
  const io::Json *source = FindValue(config, "tokenizer_source"), *whole = FindValue(config, "tokenizer");
  if (source == nullptr && whole == nullptr) return std::nullopt;
  TokenizerSetting setting;
  const std::string source_path = Below(path, "tokenizer_source"), at = Below(path, "tokenizer");
  if (source != nullptr && whole != nullptr)
    problems.Add(source_path, "there is a tokenizer too; say all of it in tokenizer");
  if (source != nullptr) ReadSource(*source, source_path, setting, problems);
  if (whole == nullptr) return setting;
  if (!problems.CheckMapping(*whole, at, {"source", "tokens", "pad_to_multiple_of"})) return setting;
  if (const io::Json* inner = FindValue(*whole, "source"))
    ReadSource(*inner, Below(at, "source"), setting, problems);
  setting.pad_to_multiple_of = ReadWhole(*whole, "pad_to_multiple_of", 1, at, problems).value_or(0);
  const io::Json* tokens = FindValue(*whole, "tokens");
  if (tokens == nullptr) return setting;
  if (!tokens->is_object()) {
    problems.Add(Below(at, "tokens"), fmt::format("is {}; it must be a mapping of tokens", Shown(*tokens)));
    return setting;
  }
  for (const auto& [token, json] : tokens->items())
    setting.tokens.push_back(
        ReadOverride(token, json, fmt::format("{}.tokens[\"{}\"]", at, token), problems));
  return setting;
}

}  // namespace forge::merge
