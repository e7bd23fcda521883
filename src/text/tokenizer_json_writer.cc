// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "text/score_merges.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

using io::Json;
using Stage = SpaceSpelling::Stage;
using Prefix = SpaceSpelling::Prefix;

[[noreturn]] void Fail(std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot write the tokenizer as tokenizer.json",
               .why = std::move(why),
               .fix = "keep the tokenizer in the file that it came from"});
}

Json ByteLevel(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json Replace(const char* from, const char* to, const char* kind = "String") {
  return {{"type", "Replace"}, {"pattern", {{kind, from}}}, {"content", to}};
}

/// One part as it is, several as a Sequence, none as null.
Json Join(const Json& parts, const char* list) {
  if (parts.empty()) return nullptr;
  return parts.size() == 1 ? parts[0] : Json{{"type", "Sequence"}, {list, parts}};
}

Json NormalizerJson(const TokenizerData& data) {
  Json parts = Json::array();
  if (data.nfc) parts.push_back({{"type", "NFC"}});
  if (data.spaces.stage == Stage::kNormalizer) {
    if (data.spaces.collapse)
      for (const CollapseStep& step : kCollapseSteps)
        parts.push_back(Replace(step.regex, step.content, "Regex"));
    if (data.spaces.prefix == Prefix::kTextStart)
      Fail("it puts a space before the text but not after control tokens");
    if (data.spaces.prefix == Prefix::kEachStretch)
      parts.push_back({{"type", "Prepend"}, {"prepend", kSpaceSign}});
    parts.push_back(Replace(" ", kSpaceSign));
  }
  return Join(parts, "normalizers");
}

Json PreTokenizerJson(const TokenizerData& data) {
  Json parts = Json::array();
  bool needs_byte_level = data.alphabet == Alphabet::kBytes;
  const std::vector<std::string>& patterns = data.split_patterns;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (patterns[i] == kDigitPattern) {
      parts.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else if (patterns[i] == kGpt2Pattern && i + 1 == patterns.size() && needs_byte_level) {
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
  if (data.spaces.stage == Stage::kPreTokenizer)
    parts.push_back({{"type", "Metaspace"},
                     {"replacement", kSpaceSign},
                     {"prepend_scheme", data.spaces.prefix == Prefix::kTextStart     ? "first"
                                        : data.spaces.prefix == Prefix::kEachStretch ? "always"
                                                                                     : "never"},
                     {"split", data.spaces.cut}});
  return Join(parts, "pretokenizers");
}

Json DecoderJson(const TokenizerData& data) {
  if (data.alphabet == Alphabet::kBytes) return ByteLevel(true);
  Json parts = Json::array();
  if (data.spaces.stage != Stage::kNone) parts.push_back(Replace(kSpaceSign, " "));
  if (data.byte_fallback) parts.push_back({{"type", "ByteFallback"}});
  parts.push_back({{"type", "Fuse"}});
  if (data.spaces.strip_decoded)
    parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return Join(parts, "decoders");
}

Json PostProcessorJson(const TokenizerData& data) {
  Json parts = Json::array();
  if (data.alphabet == Alphabet::kBytes) parts.push_back(ByteLevel(false));
  if (data.before.empty() && data.after.empty()) return Join(parts, "processors");
  Json specials = Json::object(), single = Json::array(), pair = Json::array();
  const auto add_around = [&](const char* sequence, int type_id, Json& pieces) {
    const auto add = [&](const std::vector<int>& ids) {
      for (const int id : ids) {
        const std::string& token = data.tokens[id];
        specials[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
        pieces.push_back({{"SpecialToken", {{"id", token}, {"type_id", type_id}}}});
      }
    };
    add(data.before);
    pieces.push_back({{"Sequence", {{"id", sequence}, {"type_id", type_id}}}});
    add(data.after);
  };
  add_around("A", 0, single);
  add_around("A", 0, pair);
  add_around("B", 1, pair);
  parts.push_back(
      {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}});
  return Join(parts, "processors");
}

Json AddedTokensJson(const TokenizerData& data) {
  Json added = Json::array();
  for (int id = 0; id < static_cast<int>(data.tokens.size()); ++id) {
    const TokenType type = data.types[id];
    if (!IsAdded(type)) continue;
    const AddedTokenRule rule = RuleOf(data, id);
    if (rule.normalized && !data.scores.empty())
      Fail(fmt::format("\"{}\" is a user-defined piece of SentencePiece", data.tokens[id]));
    added.push_back({{"id", id},
                     {"content", data.tokens[id]},
                     {"single_word", rule.single_word},
                     {"lstrip", rule.lstrip},
                     {"rstrip", rule.rstrip},
                     {"normalized", rule.normalized},
                     {"special", type != TokenType::kUserDefined}});
  }
  return added;
}

/// The merges of SentencePiece's scores as a list: the best pieces first, and of one piece in the order of
/// its halves, as transformers' converter has it.
std::vector<Merge> ListedMerges(const TokenizerData& data) {
  if (data.scores.empty()) return data.merges;
  ScoreMerges scored = MergesOfScores(data, TokenIndex(data.tokens));
  if (!scored.extra_symbols.empty())
    Fail(fmt::format("the character U+{:04X} is in its pieces, but is none itself",
                     static_cast<unsigned>(scored.extra_symbols.begin()->first)));
  std::sort(scored.rules.begin(), scored.rules.end(), [](const auto& a, const auto& b) {
    return std::tie(a.rank, a.left, a.right) < std::tie(b.rank, b.left, b.right);
  });
  std::vector<Merge> merges;
  for (const MergeTable::Rule& rule : scored.rules) {
    for (const int id : {rule.left, rule.right, rule.result})
      if (data.types[id] == TokenType::kUnused)
        Fail(fmt::format("its piece \"{}\" is unused, but a step on the way to others", data.tokens[id]));
    merges.push_back({rule.left, rule.right, rule.result});
  }
  return merges;
}

}  // namespace

Json ToTokenizerJson(const TokenizerData& data) {
  Json vocabulary = Json::object(), merges = Json::array(), unknown;
  for (std::size_t id = 0; id < data.tokens.size(); ++id)
    if (data.types[id] != TokenType::kUnused) vocabulary[data.tokens[id]] = id;
  const std::vector<Merge> listed = ListedMerges(data);
  const bool in_one = std::none_of(listed.begin(), listed.end(), [&](const Merge& merge) {
    return data.tokens[merge.result].find(' ') != std::string::npos;
  });
  for (const Merge& merge :
       listed) {  // "left right", which older programs read too, unless that is ambiguous
    const std::string &left = data.tokens[merge.left], &right = data.tokens[merge.right];
    merges.push_back(in_one ? Json(left + " " + right) : Json{left, right});
  }
  if (data.unknown) unknown = data.tokens[*data.unknown];
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", AddedTokensJson(data)},
          {"normalizer", NormalizerJson(data)},
          {"pre_tokenizer", PreTokenizerJson(data)},
          {"post_processor", PostProcessorJson(data)},
          {"decoder", DecoderJson(data)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", unknown},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", data.fuse_unknown},
            {"byte_fallback", data.byte_fallback},
            {"ignore_merges", data.ignore_merges},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

}  // namespace forge::text
