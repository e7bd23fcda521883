// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::text {
namespace {

using io::Json;

/// Reads one file; every failure names it.
class JsonReader {
 public:
  JsonReader(const Json& json, const std::string& source) : json_(json), source_(source) {}

  TokenizerData Read() {
    if (!json_.is_object()) Fail("it is not a JSON object");
    ReadVocabulary(At(json_, "model"));
    ReadAddedTokens(At(json_, "added_tokens"));
    ReadMerges(At(json_, "model"));
    ReadNormalizer(At(json_, "normalizer"));
    ReadPreTokenizer(At(json_, "pre_tokenizer"));
    ReadPostProcessor(At(json_, "post_processor"));
    for (std::size_t id = 0; id < data_.tokens.size(); ++id) {
      if (!data_.tokens[id].empty()) continue;
      data_.tokens[id] = fmt::format("[PAD{}]", id);  // an id that no token has
      data_.types[id] = TokenType::kUnused;
    }
    return std::move(data_);
  }

 private:
  [[noreturn]] void Fail(std::string why) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the tokenizer " + source_,
                 .why = std::move(why),
                 .fix = "choose a model with a byte-level BPE tokenizer (GPT-2, SmolLM2, Qwen2, Llama 3)"});
  }
  /// null if absent.
  static const Json& At(const Json& object, const char* name) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto found = object.find(name);
    return found == object.end() ? null : *found;
  }
  static std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }
  static bool Flag(const Json& object, const char* name, bool standard) {
    const Json& value = At(object, name);
    return value.is_boolean() ? value.get<bool>() : standard;
  }

  void SetToken(const Json& id, const std::string& token, TokenType type) {
    constexpr std::int64_t kMaxId = 1 << 22;  // ten times the largest vocabulary there is
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > kMaxId)
      Fail(fmt::format("token \"{}\" has the id {}", token, id.dump()));
    if (token.empty()) Fail(fmt::format("the token of id {} is empty", id.dump()));
    const auto index = id.get<std::size_t>();
    if (index >= data_.tokens.size()) {
      data_.tokens.resize(index + 1);
      data_.types.resize(index + 1, TokenType::kNormal);
    }
    if (!data_.tokens[index].empty() && data_.tokens[index] != token)
      Fail(fmt::format("id {} belongs to \"{}\" and to \"{}\"", index, data_.tokens[index], token));
    data_.tokens[index] = token;
    data_.types[index] = type;
  }

  void ReadVocabulary(const Json& model) {
    const std::string type = Text(At(model, "type"));
    if (type != "BPE" && !(type.empty() && At(model, "merges").is_array()))
      Fail(fmt::format("its model is of type \"{}\"; forge knows BPE", type));
    if (Flag(model, "byte_fallback", false))
      Fail("it is a SentencePiece tokenizer (byte_fallback); forge knows byte-level BPE");
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!Text(At(model, name)).empty()) Fail(fmt::format("it has a {}", name));
    if (!At(model, "vocab").is_object()) Fail("it has no vocabulary");
    for (const auto& [token, id] : At(model, "vocab").items()) SetToken(id, token, TokenType::kNormal);
    data_.ignore_merges = Flag(model, "ignore_merges", false);
    const std::string unknown = Text(At(model, "unk_token"));
    const auto found = std::find(data_.tokens.begin(), data_.tokens.end(), unknown);
    if (!unknown.empty() && found != data_.tokens.end())
      data_.unknown = static_cast<int>(found - data_.tokens.begin());
  }

  void ReadAddedTokens(const Json& added) {
    if (added.is_null()) return;
    if (!added.is_array()) Fail("added_tokens is not an array");
    for (const Json& token : added) {
      for (const char* name : {"single_word", "lstrip", "rstrip"})
        if (Flag(token, name, false))
          Fail(fmt::format("added token {} has {}, which forge does not apply", At(token, "content").dump(),
                           name));
      SetToken(At(token, "id"), Text(At(token, "content")),
               Flag(token, "special", false) ? TokenType::kControl : TokenType::kUserDefined);
    }
  }

  void ReadMerges(const Json& model) {
    const Json& merges = At(model, "merges");
    if (merges.is_null()) return;
    if (!merges.is_array()) Fail("merges is not an array");
    for (const Json& merge : merges) {
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        data_.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        continue;
      }
      const std::string text = Text(merge);
      const std::size_t space = text.find(' ');
      if (space == std::string::npos) Fail(fmt::format("merge {} is not a pair", merge.dump()));
      data_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
  }

  void ReadNormalizer(const Json& normalizer) {
    if (normalizer.is_null()) return;
    const std::string type = Text(At(normalizer, "type"));
    if (type == "NFC") {
      data_.nfc = true;
    } else if (type == "Sequence") {
      for (const Json& part : At(normalizer, "normalizers")) ReadNormalizer(part);
    } else {
      Fail(fmt::format("its normalizer is \"{}\"; forge knows NFC", type));
    }
  }

  void ReadPreTokenizer(const Json& pre) {
    const std::string type = Text(At(pre, "type"));
    if (type == "Sequence") {
      for (const Json& part : At(pre, "pretokenizers")) ReadPreTokenizer(part);
    } else if (type == "ByteLevel") {
      if (Flag(pre, "add_prefix_space", true))
        Fail("its pre-tokenizer puts a space before the text (add_prefix_space)");
      if (Flag(pre, "use_regex", true)) data_.split_patterns.push_back(kGpt2Pattern);
    } else if (type == "Digits") {
      data_.split_patterns.push_back(Flag(pre, "individual_digits", false) ? kDigitPattern : R"(\p{N}+)");
    } else if (type == "Split") {
      const std::string pattern = Text(At(At(pre, "pattern"), "Regex"));
      if (pattern.empty() || Text(At(pre, "behavior")) != "Isolated" || Flag(pre, "invert", false))
        Fail("its Split pre-tokenizer is not an isolated regular expression");
      data_.split_patterns.push_back(pattern);
    } else {
      Fail(fmt::format("its pre-tokenizer is \"{}\"; forge knows ByteLevel, Digits and Split", type));
    }
  }

  /// Only asks whether a bos token is put in front; Encode leaves that to its caller.
  void ReadPostProcessor(const Json& post) {
    const std::string type = Text(At(post, "type"));
    if (type == "Sequence")
      for (const Json& part : At(post, "processors")) ReadPostProcessor(part);
    if (type != "TemplateProcessing" || !At(post, "single").is_array() || At(post, "single").empty()) return;
    const std::string first = Text(At(At(At(post, "single")[0], "SpecialToken"), "id"));
    const auto found = std::find(data_.tokens.begin(), data_.tokens.end(), first);
    if (first.empty() || found == data_.tokens.end()) return;
    data_.bos = static_cast<int>(found - data_.tokens.begin());
    data_.add_bos = true;
  }

  const Json& json_;
  const std::string& source_;
  TokenizerData data_;
};

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

Json ByteLevel(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json PreTokenizerJson(const std::vector<std::string>& patterns) {
  Json parts = Json::array();
  bool needs_byte_level = true;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (patterns[i] == kDigitPattern) {
      parts.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else if (patterns[i] == kGpt2Pattern && i + 1 == patterns.size()) {
      parts.push_back(ByteLevel(true));
      needs_byte_level = false;
    } else {
      parts.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", patterns[i]}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
  }
  if (needs_byte_level) parts.push_back(ByteLevel(false));
  return parts.size() == 1 ? parts[0] : Json{{"type", "Sequence"}, {"pretokenizers", parts}};
}

}  // namespace

TokenizerData ParseTokenizerJson(const Json& json, const std::string& source) {
  return JsonReader(json, source).Read();
}

TokenizerData ReadTokenizerJson(const std::filesystem::path& path) {
  TokenizerData data = ParseTokenizerJson(io::ReadJsonFile(path), path.string());
  ReadTokenizerConfig(path.parent_path(), data);
  return data;
}

Json ToTokenizerJson(const TokenizerData& data) {
  Json vocabulary = Json::object(), added = Json::array(), merges = Json::array();
  for (std::size_t id = 0; id < data.tokens.size(); ++id) {
    const TokenType type = data.types[id];
    if (type == TokenType::kUnused) continue;
    vocabulary[data.tokens[id]] = id;
    if (type != TokenType::kControl && type != TokenType::kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", data.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", type == TokenType::kControl}});
  }
  for (const auto& [left, right] : data.merges) merges.push_back(left + " " + right);
  Json unknown;
  if (data.unknown) unknown = data.tokens[*data.unknown];
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", data.nfc ? Json{{"type", "NFC"}} : Json()},
          {"pre_tokenizer", PreTokenizerJson(data.split_patterns)},
          {"post_processor", ByteLevel(false)},
          {"decoder", ByteLevel(true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", unknown},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", data.ignore_merges},
            {"vocab", vocabulary},
            {"merges", merges}}}};
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
