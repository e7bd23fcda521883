// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/score_merges.h"
#include "text/token_index.h"

namespace forge::text {
namespace {

using Stage = SpaceSpelling::Stage;
using Prefix = SpaceSpelling::Prefix;

/// Names of tokenizer.ggml.pre (llama.cpp, src/llama-vocab.cpp); the first name of equal ones is the one
/// written.
struct PreName {
  const char* name;
  std::vector<std::string> patterns;
  bool nfc, ignore_merges;
  bool adds_bos;  // when tokenizer.ggml.add_bos_token is missing
};

const std::vector<PreName>& PreNames() {
  static const std::vector<PreName> names = {
      {"gpt-2", {kGpt2Pattern}, false, false, false},
      {"smollm", {kDigitPattern, kGpt2Pattern}, false, false, false},
      {"qwen2", {kQwen2Pattern}, true, false, false},
      {"llama-bpe", {kLlama3Pattern}, false, true, true},
      {"deepseek-r1-qwen", {kQwen2Pattern}, true, false, false},
      {"llama3", {kLlama3Pattern}, false, true, true},
      {"llama-v3", {kLlama3Pattern}, false, true, true},
  };
  return names;
}

[[noreturn]] void Fail(const std::string& source, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the tokenizer of " + source,
               .why = std::move(why),
               .fix = "give the model's folder with its tokenizer.json, or another model"});
}

/// The keys of one file as tokenizer data.
class GgufReader {
 public:
  GgufReader(const io::GgufMetadata& metadata, const std::string& source)
      : metadata_(metadata), source_(source) {}

  TokenizerData Read() {
    const std::string* model = io::FindText(metadata_, "tokenizer.ggml.model");
    if (model == nullptr) Fail(source_, "the file has no tokenizer");
    if (*model != "gpt2" && *model != "llama")
      Fail(source_, fmt::format("tokenizer.ggml.model is \"{}\"; forge knows \"gpt2\" (byte-level BPE) and "
                                "\"llama\" (SentencePiece BPE)",
                                *model));
    ReadTokens();
    if (*model == "gpt2")
      ReadByteLevel();
    else
      ReadSentencePiece();
    ReadTemplate();
    if (const std::string* chat = io::FindText(metadata_, "tokenizer.chat_template"))
      data_.chat_template = *chat;
    return std::move(data_);
  }

 private:
  void ReadTokens() {
    const std::vector<std::string>* tokens = io::FindTexts(metadata_, "tokenizer.ggml.tokens");
    if (tokens == nullptr) Fail(source_, "tokenizer.ggml.tokens is missing");
    data_.tokens = *tokens;
    data_.types.assign(data_.tokens.size(), TokenType::kNormal);
    const auto types = io::FindIntegers(metadata_, "tokenizer.ggml.token_type");
    if (!types) return;
    if (types->size() != data_.tokens.size())
      Fail(source_, fmt::format("it has {} tokens and {} token types", data_.tokens.size(), types->size()));
    for (std::size_t id = 0; id < types->size(); ++id)
      if ((*types)[id] >= 1 && (*types)[id] <= 6) data_.types[id] = static_cast<TokenType>((*types)[id]);
  }

  void ReadByteLevel() {
    const std::string* pre = io::FindText(metadata_, "tokenizer.ggml.pre");
    const PreName* kind = nullptr;
    for (const PreName& name : PreNames())
      if (pre != nullptr && name.name == *pre) kind = &name;
    if (kind == nullptr)
      Fail(source_, fmt::format("tokenizer.ggml.pre is {}; forge knows gpt-2, smollm, qwen2 and llama-bpe",
                                pre == nullptr ? "missing" : "\"" + *pre + "\""));
    data_.split_patterns = kind->patterns;
    data_.nfc = kind->nfc;
    data_.ignore_merges = kind->ignore_merges;
    adds_bos_ = kind->adds_bos;
    ReadMerges();
    // unknown_token_id is not taken over: byte-level BPE never makes use of it, in llama.cpp either.
  }

  void ReadMerges() {
    const std::vector<std::string>* merges = io::FindTexts(metadata_, "tokenizer.ggml.merges");
    if (merges == nullptr) Fail(source_, "tokenizer.ggml.merges is missing");
    const TokenIndex index(data_.tokens);
    std::string whole;
    for (const std::string& merge : *merges) {
      const std::size_t rank = data_.merges.size(), space = merge.find(' ', 1);
      if (space == std::string::npos)
        Fail(source_, fmt::format("merge {}, \"{}\", is not a pair", rank, merge));
      const auto id_of = [&](std::string_view token) {
        const std::optional<int> id = index.Find(token);
        if (!id) Fail(source_, fmt::format("merge {} needs \"{}\", which is not a token", rank, token));
        return *id;
      };
      const std::string_view left = std::string_view(merge).substr(0, space),
                             right = std::string_view(merge).substr(space + 1);
      whole.assign(left).append(right);
      data_.merges.push_back({id_of(left), id_of(right), id_of(whole)});
    }
  }

  void ReadSentencePiece() {
    const auto found = metadata_.find("tokenizer.ggml.scores");
    const auto* array = found == metadata_.end() ? nullptr : std::get_if<io::GgufArray>(&found->second);
    const auto* scores = array == nullptr ? nullptr : std::get_if<std::vector<float>>(array);
    if (scores == nullptr || scores->size() != data_.tokens.size())
      Fail(source_, fmt::format("it has {} tokens and {} scores", data_.tokens.size(),
                                scores == nullptr ? 0 : scores->size()));
    data_.scores = *scores;
    data_.alphabet = Alphabet::kCharacters;
    data_.byte_fallback = data_.fuse_unknown = true;
    data_.spaces.stage = Stage::kNormalizer;
    data_.spaces.collapse =
        io::FindBool(metadata_, "tokenizer.ggml.remove_extra_whitespaces").value_or(false);
    if (io::FindBool(metadata_, "tokenizer.ggml.add_space_prefix").value_or(true)) {
      data_.spaces.prefix = Prefix::kEachStretch;
      data_.spaces.strip_decoded = true;
    }
    data_.unknown = TokenId("tokenizer.ggml.unknown_token_id", 0);
    data_.bos = TokenId("tokenizer.ggml.bos_token_id", 1);
    data_.eos = TokenId("tokenizer.ggml.eos_token_id", 2);
    adds_bos_ = true;
  }

  void ReadTemplate() {
    if (const auto bos = TokenId("tokenizer.ggml.bos_token_id")) data_.bos = bos;
    if (const auto eos = TokenId("tokenizer.ggml.eos_token_id")) data_.eos = eos;
    data_.pad = TokenId("tokenizer.ggml.padding_token_id");
    if (data_.bos && io::FindBool(metadata_, "tokenizer.ggml.add_bos_token").value_or(adds_bos_))
      data_.before = {*data_.bos};
    if (data_.eos && io::FindBool(metadata_, "tokenizer.ggml.add_eos_token").value_or(false))
      data_.after = {*data_.eos};
  }

  /// The id under `key`, or `standard` without it; nothing if that is not a token.
  std::optional<int> TokenId(const char* key, int standard = -1) const {
    const std::int64_t id = io::FindInteger(metadata_, key).value_or(standard);
    if (id < 0 || static_cast<std::size_t>(id) >= data_.tokens.size()) return std::nullopt;
    return static_cast<int>(id);
  }

  const io::GgufMetadata& metadata_;
  const std::string& source_;
  TokenizerData data_;
  bool adds_bos_ = false;
};

io::GgufMetadata SentencePieceKeys(const TokenizerData& data, std::size_t vocab_size) {
  if (data.spaces.stage == Stage::kNone || data.spaces.cut || data.nfc || !data.split_patterns.empty() ||
      !data.byte_fallback)
    Fail("the GGUF file", "its way to normalize or split text has no name in GGUF");
  std::vector<float> scores = data.scores;
  if (scores.empty()) {
    std::string problem;
    scores = ScoresOfMerges(data, problem);
    if (!problem.empty()) Fail("the GGUF file", problem);
  }
  scores.resize(vocab_size, 0);
  return {{"tokenizer.ggml.model", std::string("llama")},
          {"tokenizer.ggml.pre", std::string("default")},
          {"tokenizer.ggml.scores", io::GgufArray(std::move(scores))},
          {"tokenizer.ggml.add_space_prefix", data.spaces.prefix != Prefix::kNever},
          {"tokenizer.ggml.remove_extra_whitespaces", data.spaces.collapse}};
}

io::GgufMetadata ByteLevelKeys(const TokenizerData& data) {
  std::string pre;
  for (const PreName& name : PreNames())
    if (pre.empty() && name.patterns == data.split_patterns && name.ignore_merges == data.ignore_merges)
      pre = name.name;
  if (pre.empty() && data.merges.empty())
    pre = PreNames()[0].name;  // without merges, where to cut does not matter
  if (pre.empty()) Fail("the GGUF file", "its way to split text has no name in GGUF");
  std::vector<std::string> merges;
  for (const Merge& merge : data.merges)
    merges.push_back(data.tokens[merge.left] + " " + data.tokens[merge.right]);
  return {{"tokenizer.ggml.model", std::string("gpt2")},
          {"tokenizer.ggml.pre", pre},
          {"tokenizer.ggml.merges", io::GgufArray(std::move(merges))},
          {"tokenizer.ggml.add_space_prefix", false}};
}

/// GGUF knows bos before and eos after the text, and no rules for single tokens.
void CheckTemplate(const TokenizerData& data) {
  const auto is_only = [](const std::vector<int>& ids, const std::optional<int>& id) {
    return ids.empty() || (id && ids == std::vector{*id});
  };
  if (!is_only(data.before, data.bos) || !is_only(data.after, data.eos))
    Fail("the GGUF file", "it puts other tokens around a text than bos and eos");
  for (const AddedTokenRule& rule : data.added)
    if (rule.single_word || rule.lstrip || rule.rstrip)
      Fail("the GGUF file",
           fmt::format("\"{}\" takes white space along or must be a single word", data.tokens[rule.id]));
}

}  // namespace

io::GgufMetadata ToGgufMetadata(const TokenizerData& data, int vocab_size) {
  if (data.tokens.size() > static_cast<std::size_t>(vocab_size))
    Fail("the GGUF file",
         fmt::format("it has {} tokens, the model's embedding {} rows", data.tokens.size(), vocab_size));
  CheckTemplate(data);
  io::GgufMetadata metadata =
      data.alphabet == Alphabet::kBytes ? ByteLevelKeys(data) : SentencePieceKeys(data, vocab_size);
  std::vector<std::string> tokens = data.tokens;
  std::vector<std::int32_t> types;
  for (const TokenType type : data.types) types.push_back(static_cast<std::int32_t>(type));
  while (tokens.size() < static_cast<std::size_t>(vocab_size)) {
    tokens.push_back(fmt::format("[PAD{}]", tokens.size()));
    types.push_back(static_cast<std::int32_t>(TokenType::kUnused));
  }
  metadata["tokenizer.ggml.tokens"] = io::GgufArray(std::move(tokens));
  metadata["tokenizer.ggml.token_type"] = io::GgufArray(std::move(types));
  metadata["tokenizer.ggml.add_bos_token"] = data.adds_bos();
  if (!data.after.empty()) metadata["tokenizer.ggml.add_eos_token"] = true;
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

TokenizerData ReadGgufTokenizer(const io::GgufMetadata& metadata, const std::string& source) {
  return GgufReader(metadata, source).Read();
}

}  // namespace forge::text
