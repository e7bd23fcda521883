// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

/// Names of tokenizer.ggml.pre (llama.cpp, src/llama-vocab.cpp); the first name of equal ones is the one
/// written.
struct PreName {
  const char* name;
  std::vector<std::string> patterns;
  bool nfc, ignore_merges;
};

const std::vector<PreName>& PreNames() {
  static const std::vector<PreName> names = {
      {"gpt-2", {kGpt2Pattern}, false, false},
      {"smollm", {kDigitPattern, kGpt2Pattern}, false, false},
      {"qwen2", {kQwen2Pattern}, true, false},
      {"llama-bpe", {kLlama3Pattern}, false, true},
      {"deepseek-r1-qwen", {kQwen2Pattern}, true, false},
      {"llama3", {kLlama3Pattern}, false, true},
      {"llama-v3", {kLlama3Pattern}, false, true},
  };
  return names;
}

[[noreturn]] void Fail(const std::string& source, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the tokenizer of " + source,
               .why = std::move(why),
               .fix = "give the model's folder with its tokenizer.json, or another model"});
}

std::optional<int> TokenId(const io::GgufMetadata& metadata, const char* key, std::size_t size) {
  const auto id = io::FindInteger(metadata, key);
  if (!id || *id < 0 || static_cast<std::size_t>(*id) >= size) return std::nullopt;
  return static_cast<int>(*id);
}

}  // namespace

TokenizerData ReadGgufTokenizer(const io::GgufMetadata& metadata, const std::string& source) {
  const std::string* model = io::FindText(metadata, "tokenizer.ggml.model");
  if (model == nullptr) Fail(source, "the file has no tokenizer");
  if (*model != "gpt2")
    Fail(source,
         fmt::format("tokenizer.ggml.model is \"{}\"; forge knows \"gpt2\" (byte-level BPE)", *model));
  const std::string* pre = io::FindText(metadata, "tokenizer.ggml.pre");
  const PreName* kind = nullptr;
  for (const PreName& name : PreNames())
    if (pre != nullptr && name.name == *pre) kind = &name;
  if (kind == nullptr)
    Fail(source, fmt::format("tokenizer.ggml.pre is {}; forge knows gpt-2, smollm, qwen2 and llama-bpe",
                             pre == nullptr ? "missing" : "\"" + *pre + "\""));
  TokenizerData data;
  const std::vector<std::string>* tokens = io::FindTexts(metadata, "tokenizer.ggml.tokens");
  const std::vector<std::string>* merges = io::FindTexts(metadata, "tokenizer.ggml.merges");
  if (tokens == nullptr || merges == nullptr)
    Fail(source, "tokenizer.ggml.tokens or tokenizer.ggml.merges is missing");
  data.tokens = *tokens;
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  if (const auto types = io::FindIntegers(metadata, "tokenizer.ggml.token_type")) {
    if (types->size() != data.tokens.size())
      Fail(source, fmt::format("it has {} tokens and {} token types", data.tokens.size(), types->size()));
    for (std::size_t id = 0; id < types->size(); ++id)
      if ((*types)[id] >= 1 && (*types)[id] <= 6) data.types[id] = static_cast<TokenType>((*types)[id]);
  }
  for (const std::string& merge : *merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos) Fail(source, fmt::format("merge \"{}\" is not a pair", merge));
    data.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  data.split_patterns = kind->patterns;
  data.nfc = kind->nfc;
  data.ignore_merges = kind->ignore_merges;
  data.bos = TokenId(metadata, "tokenizer.ggml.bos_token_id", data.tokens.size());
  data.eos = TokenId(metadata, "tokenizer.ggml.eos_token_id", data.tokens.size());
  data.pad = TokenId(metadata, "tokenizer.ggml.padding_token_id", data.tokens.size());
  // unknown_token_id is not taken over: byte-level BPE never makes use of it, in llama.cpp either.
  data.add_bos = io::FindBool(metadata, "tokenizer.ggml.add_bos_token").value_or(false);
  if (const std::string* chat = io::FindText(metadata, "tokenizer.chat_template")) data.chat_template = *chat;
  return data;
}

io::GgufMetadata ToGgufMetadata(const TokenizerData& data, int vocab_size) {
  if (data.tokens.size() > static_cast<std::size_t>(vocab_size))
    Fail("the GGUF file",
         fmt::format("it has {} tokens, the model's embedding {} rows", data.tokens.size(), vocab_size));
  std::string pre;
  for (const PreName& name : PreNames())
    if (pre.empty() && name.patterns == data.split_patterns) pre = name.name;
  if (pre.empty() && data.merges.empty())
    pre = PreNames()[0].name;  // without merges, where to cut does not matter
  if (pre.empty()) Fail("the GGUF file", "its way to split text has no name in GGUF");
  std::vector<std::string> tokens = data.tokens, merges;
  std::vector<std::int32_t> types;
  for (const TokenType type : data.types) types.push_back(static_cast<std::int32_t>(type));
  while (tokens.size() < static_cast<std::size_t>(vocab_size)) {
    tokens.push_back(fmt::format("[PAD{}]", tokens.size()));
    types.push_back(static_cast<std::int32_t>(TokenType::kUnused));
  }
  for (const auto& [left, right] : data.merges) merges.push_back(left + " " + right);
  io::GgufMetadata metadata = {{"tokenizer.ggml.model", std::string("gpt2")},
                               {"tokenizer.ggml.pre", pre},
                               {"tokenizer.ggml.tokens", io::GgufArray(std::move(tokens))},
                               {"tokenizer.ggml.token_type", io::GgufArray(std::move(types))},
                               {"tokenizer.ggml.merges", io::GgufArray(std::move(merges))},
                               {"tokenizer.ggml.add_bos_token", data.add_bos},
                               {"tokenizer.ggml.add_space_prefix", false}};
  const auto add = [&](const char* key, const std::optional<int>& id) {
    if (id) metadata[key] = static_cast<std::uint32_t>(*id);
  };
  add("tokenizer.ggml.bos_token_id", data.bos);
  add("tokenizer.ggml.eos_token_id", data.eos);
  add("tokenizer.ggml.padding_token_id", data.pad);
  add("tokenizer.ggml.unknown_token_id", data.unknown);
  if (!data.chat_template.empty()) metadata["tokenizer.chat_template"] = data.chat_template;
  return metadata;
}

std::unique_ptr<Tokenizer> LoadTokenizer(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return Tokenizer::FromFile(path / "tokenizer.json");
  if (path.extension() == ".json") return Tokenizer::FromFile(path);
  const io::GgufFile file(path);
  return std::make_unique<Tokenizer>(ReadGgufTokenizer(file.metadata(), path.string()), path.string());
}

void SaveTokenizer(const std::filesystem::path& folder, const TokenizerData& data, int model_max_length) {
  io::WriteJsonFile(folder / "tokenizer.json", ToTokenizerJson(data));
  io::WriteJsonFile(folder / "tokenizer_config.json", ToTokenizerConfigJson(data, model_max_length));
}

}  // namespace forge::text
