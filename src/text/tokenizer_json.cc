// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/atomic_file.h"
#include "text/symbols.h"
#include "text/token_index.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_document.h"

namespace forge::text {
namespace {

using io::Json;
using Stage = SpaceSpelling::Stage;
using Prefix = SpaceSpelling::Prefix;

/// Reads one file; every failure names it.
class JsonReader {
 public:
  JsonReader(const TokenizerDocument& document, const std::string& source)
      : document_(document), json_(document.json), source_(source) {}

  TokenizerData Read() {
    if (!json_.is_object()) Fail("it is not a JSON object");
    const Json& model = At(json_, "model");
    data_.alphabet = Alphabet::kCharacters;  // until there is a ByteLevel pre-tokenizer
    ReadNormalizer(At(json_, "normalizer"));
    ReadPreTokenizer(At(json_, "pre_tokenizer"));
    ReadDecoder(At(json_, "decoder"));
    CheckModel(model);
    // A few ids may lack a token, but a file cannot ask for memory that its size does not account for.
    file_tokens_ = document_.vocabulary.size() + At(json_, "added_tokens").size();
    max_id_ = 2 * static_cast<long long>(file_tokens_) + 65536;
    for (const auto& [token, id] : document_.vocabulary) SetToken(id, token, TokenType::kNormal);
    ReadAddedTokens(At(json_, "added_tokens"));
    NameTheGaps();
    const TokenIndex index(data_.tokens);
    CheckSpellings(index);
    ReadMerges(index);
    ReadUnknown(model, index);
    ReadPostProcessor(At(json_, "post_processor"));
    if (!data_.before.empty()) data_.bos = data_.before.front();
    return std::move(data_);
  }

 private:
  [[noreturn]] void Fail(std::string why) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the tokenizer " + source_,
                 .why = std::move(why),
                 .fix = "choose a model with a BPE tokenizer (GPT-2, SmolLM2, Qwen2, Llama 2 and 3)"});
  }
  /// null if absent.
  static const Json& At(const Json& object, const char* name) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto found = object.find(name);
    return found == object.end() ? null : *found;
  }
  static std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }
  static std::string Type(const Json& part) { return Text(At(part, "type")); }
  static bool Flag(const Json& object, const char* name, bool standard) {
    const Json& value = At(object, name);
    return value.is_boolean() ? value.get<bool>() : standard;
  }
  /// Calls `read` for each part of a Sequence, or for the part itself; not at all for null.
  template <class Read>
  static void ForEachPart(const Json& part, const char* list, const Read& read) {
    if (part.is_null()) return;
    if (Type(part) != "Sequence") return read(part);
    for (const Json& one : At(part, list)) ForEachPart(one, list, read);
  }
  static bool IsReplace(const Json& part, const char* from, const char* to) {
    return Type(part) == "Replace" && Text(At(At(part, "pattern"), "String")) == from &&
           Text(At(part, "content")) == to;
  }

  void SetToken(long long id, std::string_view token, TokenType type) {
    if (id < 0 || id > max_id_)
      Fail(fmt::format("token \"{}\" has the id {}; with {} tokens in the file it can be 0 to {}", token, id,
                       file_tokens_, max_id_));
    if (token.empty()) Fail(fmt::format("the token of id {} is empty", id));
    const auto index = static_cast<std::size_t>(id);
    if (index >= data_.tokens.size()) {
      data_.tokens.resize(index + 1);
      data_.types.resize(index + 1, TokenType::kNormal);
    }
    if (!data_.tokens[index].empty() && data_.tokens[index] != token)
      Fail(fmt::format("id {} belongs to \"{}\" and to \"{}\"", index, data_.tokens[index], token));
    data_.tokens[index] = token;
    data_.types[index] = type;
  }

  void CheckModel(const Json& model) {
    const std::string type = Type(model);
    if (type != "BPE" && !(type.empty() && At(model, "merges").is_array()))
      Fail(fmt::format("its model is of type \"{}\"; forge knows BPE", type));
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!Text(At(model, name)).empty()) Fail(fmt::format("its model has a {}", name));
    if (At(model, "dropout").is_number() && At(model, "dropout").get<double>() != 0)
      Fail("its model has a dropout, which makes ids a matter of chance");
    if (!At(model, "vocab").is_object() || !At(model, "vocab").empty()) Fail("it has no vocabulary, or two");
    if (!At(model, "merges").is_null() && !(At(model, "merges").is_array() && At(model, "merges").empty()))
      Fail("model.merges is not an array, or there are two");
    data_.ignore_merges = Flag(model, "ignore_merges", false);
    data_.fuse_unknown = Flag(model, "fuse_unk", false);
    data_.byte_fallback = Flag(model, "byte_fallback", false);
    if (data_.byte_fallback && data_.alphabet == Alphabet::kBytes)
      Fail("it has byte_fallback and a ByteLevel pre-tokenizer");
  }

  void ReadAddedTokens(const Json& added) {
    if (added.is_null()) return;
    if (!added.is_array()) Fail("added_tokens is not an array");
    for (const Json& token : added) {
      const Json& id = At(token, "id");
      if (!id.is_number_integer() || (id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX))
        Fail(fmt::format("added token {} has the id {}", At(token, "content").dump(), id.dump()));
      const bool special = Flag(token, "special", false);
      SetToken(id.get<long long>(), Text(At(token, "content")),
               special ? TokenType::kControl : TokenType::kUserDefined);
      const AddedTokenRule rule{.id = id.get<int>(),
                                .single_word = Flag(token, "single_word", false),
                                .lstrip = Flag(token, "lstrip", false),
                                .rstrip = Flag(token, "rstrip", false),
                                .normalized = Flag(token, "normalized", !special)};
      if (rule != AddedTokenRule{.id = rule.id}) data_.added.push_back(rule);
    }
    std::stable_sort(data_.added.begin(), data_.added.end(),
                     [](const AddedTokenRule& a, const AddedTokenRule& b) { return a.id < b.id; });
  }

  void NameTheGaps() {
    for (std::size_t id = 0; id < data_.tokens.size(); ++id) {
      if (data_.byte_fallback && data_.types[id] == TokenType::kNormal && ByteOfToken(data_.tokens[id]) >= 0)
        data_.types[id] = TokenType::kByte;
      if (!data_.tokens[id].empty()) continue;
      data_.tokens[id] = fmt::format("[PAD{}]", id);  // an id that no token has
      data_.types[id] = TokenType::kUnused;
    }
  }

  void CheckSpellings(const TokenIndex& index) {
    for (std::size_t id = 0; id < data_.tokens.size(); ++id)
      if (const int first = index.Find(data_.tokens[id]).value_or(-1);
          first != static_cast<int>(id) && data_.types[id] != TokenType::kUnused)
        Fail(fmt::format("token \"{}\" has the ids {} and {}", data_.tokens[id], first, id));
  }

  void ReadMerges(const TokenIndex& index) {
    data_.merges.reserve(document_.merges.size());
    std::string whole;
    for (const TokenizerDocument::Merge& text : document_.merges) {
      const std::size_t rank = data_.merges.size();
      const auto find = [&](std::string_view left, std::string_view right) -> std::optional<Merge> {
        whole.assign(left).append(right);
        const auto l = index.Find(left), r = index.Find(right), result = index.Find(whole);
        return l && r && result ? std::optional(Merge{*l, *r, *result}) : std::nullopt;
      };
      std::optional<Merge> merge;
      if (text.is_pair) merge = find(text.first, text.second);
      for (std::size_t space = text.first.find(' '); !text.is_pair && !merge && space != std::string::npos;
           space = text.first.find(' ', space + 1))
        merge = find(text.first.substr(0, space), text.first.substr(space + 1));
      if (!merge) FailAtMerge(text, rank, index);
      data_.merges.push_back(*merge);
    }
  }
  [[noreturn]] void FailAtMerge(const TokenizerDocument::Merge& merge, std::size_t rank,
                                const TokenIndex& index) const {
    const std::size_t space = merge.first.find(' ');
    if (!merge.is_pair && space == std::string::npos)
      Fail(fmt::format("merge {}, \"{}\", is not a pair", rank, merge.first));
    const std::string left(merge.is_pair ? merge.first : merge.first.substr(0, space));
    const std::string right(merge.is_pair ? merge.second : merge.first.substr(space + 1));
    for (const std::string& part : {left, right, left + right})
      if (!index.Find(part)) Fail(fmt::format("merge {} needs \"{}\", which is not a token", rank, part));
    Fail(fmt::format("merge {} cannot be read", rank));
  }

  void ReadUnknown(const Json& model, const TokenIndex& index) {
    const std::string unknown = Text(At(model, "unk_token"));
    if (unknown.empty()) return;
    data_.unknown = index.Find(unknown);
    if (!data_.unknown) Fail(fmt::format("its unk_token \"{}\" is not a token", unknown));
    if (data_.alphabet == Alphabet::kCharacters) data_.types[*data_.unknown] = TokenType::kUnknown;
  }

  void ReadNormalizer(const Json& normalizer) {
    std::size_t collapse_steps = 0;
    ForEachPart(normalizer, "normalizers", [&](const Json& part) {
      if (collapse_steps < std::size(kCollapseSteps) && data_.spaces.stage == Stage::kNone &&
          Text(At(At(part, "pattern"), "Regex")) == kCollapseSteps[collapse_steps].regex &&
          At(part, "content") == kCollapseSteps[collapse_steps].content) {
        data_.spaces.collapse = ++collapse_steps == std::size(kCollapseSteps);
        return;
      }
      if (Type(part) == "NFC" && data_.spaces.stage == Stage::kNone) {
        data_.nfc = true;
      } else if (Type(part) == "Prepend" && Text(At(part, "prepend")) == kSpaceSign) {
        data_.spaces.prefix = Prefix::kEachStretch;
      } else if (IsReplace(part, " ", kSpaceSign)) {
        data_.spaces.stage = Stage::kNormalizer;
      } else {
        Fail(fmt::format("its normalizer {} is none that forge knows: NFC, Prepend and Replace of spaces",
                         Shown(part)));
      }
    });
    if (data_.spaces.stage == Stage::kNone && (data_.spaces.prefix != Prefix::kNever || collapse_steps > 0))
      Fail("its normalizer has Prepend or a regular expression without Replace of spaces");
    if (collapse_steps > 0 && !data_.spaces.collapse)
      Fail("its normalizer has half of what collapses spaces");
  }
  /// A part as JSON, cut where it gets long.
  static std::string Shown(const Json& part) {
    const std::string text = part.dump(-1, ' ', true);
    return text.size() > 200 ? text.substr(0, 200) + "..." : text;
  }

  void ReadPreTokenizer(const Json& pre) {
    bool last = false;  // no further step would see the text as it is
    ForEachPart(pre, "pretokenizers", [&](const Json& part) {
      const std::string type = Type(part);
      if (last) Fail(fmt::format("its pre-tokenizer has {} after ByteLevel or Metaspace", type));
      if (type == "ByteLevel") {
        if (Flag(part, "add_prefix_space", true))
          Fail("its pre-tokenizer puts a space before the text (ByteLevel with add_prefix_space)");
        if (Flag(part, "use_regex", true)) data_.split_patterns.push_back(kGpt2Pattern);
        data_.alphabet = Alphabet::kBytes;
        last = true;
      } else if (type == "Metaspace") {
        ReadMetaspace(part);
        last = true;
      } else if (type == "Digits") {
        data_.split_patterns.push_back(Flag(part, "individual_digits", false) ? kDigitPattern : R"(\p{N}+)");
      } else if (type == "Split") {
        const std::string pattern = Text(At(At(part, "pattern"), "Regex"));
        if (pattern.empty() || Text(At(part, "behavior")) != "Isolated" || Flag(part, "invert", false))
          Fail(fmt::format("its pre-tokenizer {} is not an isolated regular expression", Shown(part)));
        data_.split_patterns.push_back(pattern);
      } else {
        Fail(fmt::format("its pre-tokenizer is \"{}\"; forge knows ByteLevel, Digits, Split and Metaspace",
                         type));
      }
    });
    if (data_.alphabet == Alphabet::kBytes
            ? data_.spaces.stage != Stage::kNone
            : data_.spaces.stage != Stage::kNone && !data_.split_patterns.empty())
      Fail("it spells spaces as \"▁\" and cuts text in another way too");
  }

  void ReadMetaspace(const Json& part) {
    if (Text(At(part, "replacement")) != kSpaceSign)
      Fail(fmt::format("its pre-tokenizer {} has another sign than \"▁\"", Shown(part)));
    if (data_.spaces.stage != Stage::kNone) Fail("it has Metaspace and a normalizer that replaces spaces");
    const std::string scheme = Text(At(part, "prepend_scheme"));
    if (!scheme.empty() && scheme != "first" && scheme != "always" && scheme != "never")
      Fail(fmt::format("its Metaspace has the prepend_scheme \"{}\"", scheme));
    data_.spaces.stage = Stage::kPreTokenizer;
    data_.spaces.cut = Flag(part, "split", true);
    if (scheme == "first")
      data_.spaces.prefix = Prefix::kTextStart;
    else if (scheme == "always" || (scheme.empty() && Flag(part, "add_prefix_space", true)))
      data_.spaces.prefix = Prefix::kEachStretch;
  }

  void ReadDecoder(const Json& decoder) {
    ForEachPart(decoder, "decoders", [&](const Json& part) {
      const std::string type = Type(part);
      const bool characters = data_.alphabet == Alphabet::kCharacters;
      if (type == "ByteLevel" && !characters) return;
      if ((type == "ByteFallback" || type == "Fuse") && characters) return;
      if (IsReplace(part, kSpaceSign, " ") && characters) return;
      if (type == "Strip" && characters && Text(At(part, "content")) == " " && At(part, "stop") == 0 &&
          (At(part, "start") == 0 || At(part, "start") == 1)) {
        data_.spaces.strip_decoded = At(part, "start") == 1;
      } else if (type == "Metaspace" && characters && Text(At(part, "replacement")) == kSpaceSign) {
        data_.spaces.strip_decoded =
            Text(At(part, "prepend_scheme")) != "never" && Flag(part, "add_prefix_space", true);
      } else {
        Fail(fmt::format("its decoder {} does not undo what its pre-tokenizer does", Shown(part)));
      }
    });
  }

  /// What is put around a text; Encode leaves that to its caller.
  void ReadPostProcessor(const Json& post) {
    ForEachPart(post, "processors", [&](const Json& part) {
      if (Type(part) == "ByteLevel") return;
      if (Type(part) != "TemplateProcessing")
        Fail(fmt::format("its post-processor is \"{}\"; forge knows ByteLevel and TemplateProcessing",
                         Type(part)));
      std::vector<int> before, after;
      bool has_text = false;
      for (const Json& piece : At(part, "single")) {
        if (piece.contains("Sequence") && !has_text) {
          has_text = true;
          continue;
        }
        const std::string name = Text(At(At(piece, "SpecialToken"), "id"));
        const Json& ids = At(At(At(part, "special_tokens"), name.c_str()), "ids");
        if (!ids.is_array()) Fail(fmt::format("its post-processor has {} without ids", Shown(piece)));
        for (const Json& id : ids)
          (has_text ? after : before).push_back(id.is_number_integer() ? id.get<int>() : -1);
      }
      if (!has_text) Fail("its post-processor leaves out the text");
      data_.before.insert(data_.before.begin(), before.begin(), before.end());
      data_.after.insert(data_.after.end(), after.begin(), after.end());
    });
  }

  const TokenizerDocument& document_;
  const Json& json_;
  const std::string& source_;
  TokenizerData data_;
  std::size_t file_tokens_ = 0;
  long long max_id_ = 0;
};

}  // namespace

TokenizerData ParseTokenizerJson(const Json& json, const std::string& source) {
  const TokenizerDocument document(json.dump(), source);
  return JsonReader(document, source).Read();
}

TokenizerData ReadTokenizerJson(const std::filesystem::path& path) {
  const TokenizerDocument document(io::ReadFile(path), path.string());
  TokenizerData data = JsonReader(document, path.string()).Read();
  ReadTokenizerConfig(path.parent_path(), data);
  return data;
}

}  // namespace forge::text
