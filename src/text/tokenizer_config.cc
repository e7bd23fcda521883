// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_config.h"

#include <algorithm>

#include "io/atomic_file.h"

namespace forge::text {
namespace {

using io::Json;

/// A token of tokenizer_config.json: "text" or {"content": "text", ...}.
std::optional<int> TokenOf(const Json& config, const char* name, const TokenizerData& data) {
  if (!config.contains(name)) return std::nullopt;
  const Json& value = config[name];
  const Json& content = value.is_object() && value.contains("content") ? value["content"] : value;
  if (!content.is_string()) return std::nullopt;
  const auto found = std::find(data.tokens.begin(), data.tokens.end(), content.get<std::string>());
  if (found == data.tokens.end()) return std::nullopt;
  return static_cast<int>(found - data.tokens.begin());
}

}  // namespace

void ReadTokenizerConfig(const std::filesystem::path& folder, TokenizerData& data) {
  if (std::filesystem::exists(folder / "tokenizer_config.json")) {
    const Json config = io::ReadJsonFile(folder / "tokenizer_config.json");
    if (!config.is_object()) return;
    if (const auto bos = TokenOf(config, "bos_token", data)) data.bos = bos;
    data.eos = TokenOf(config, "eos_token", data);
    data.pad = TokenOf(config, "pad_token", data);
    if (config.contains("chat_template") && config["chat_template"].is_string())
      data.chat_template = config["chat_template"].get<std::string>();
  }
  if (std::filesystem::exists(folder / "chat_template.jinja"))
    data.chat_template = io::ReadFile(folder / "chat_template.jinja");
}

Json ToTokenizerConfigJson(const TokenizerData& data, int model_max_length) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"add_prefix_space", false},
                 {"model_max_length", model_max_length}};
  const auto add = [&](const char* name, const std::optional<int>& id) {
    if (id && *id >= 0 && *id < static_cast<int>(data.tokens.size())) config[name] = data.tokens[*id];
  };
  add("bos_token", data.bos);
  add("eos_token", data.eos);
  add("pad_token", data.pad);
  add("unk_token", data.unknown);
  if (!data.chat_template.empty()) config["chat_template"] = data.chat_template;
  return config;
}

}  // namespace forge::text
