// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/philox.h"
#include "text/load_tokenizer.h"
#include "text/sentencepiece_model.h"
#include "text/testing_samples.h"
#include "text/testing_vectors.h"
#include "text/tokenizer_document.h"

namespace forge::text {
namespace {

namespace fs = std::filesystem;
using io::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LlamaJson;
using testing::SharedData;

using Strings = std::vector<std::string>;

/// The file spellings of the ids, as Hugging Face's `encode(...).tokens`.
Strings Tokens(const Tokenizer& tokenizer, std::string_view text) {
  Strings tokens;
  for (const int id : tokenizer.Encode(text, true)) tokens.push_back(tokenizer.data().tokens[id]);
  return tokens;
}

std::unique_ptr<Tokenizer> Make(const Json& json) {
  return std::make_unique<Tokenizer>(ParseTokenizerJson(json, "x.json"), "x.json");
}

std::string ErrorOf(const char* pointer, const Json& value, Json json = LlamaJson()) {
  json[Json::json_pointer(pointer)] = value;
  try {
    ParseTokenizerJson(json, "x.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    return error.what();
  }
  return "no error";
}

TEST(TokenizerJson, ReadsLlama2sKind) {
  const auto tokenizer = Make(LlamaJson());
  EXPECT_THAT(tokenizer->Encode("the"), ElementsAre(261));
  EXPECT_THAT(tokenizer->Encode("  the"), ElementsAre(262, 261));
  EXPECT_THAT(tokenizer->Encode("a\u00e9"), ElementsAre(263, 267, 3 + 0xc3, 3 + 0xa9));
  EXPECT_THAT(tokenizer->Encode("\xe9"), ElementsAre(263, 3 + 0xe9));
  EXPECT_THAT(tokenizer->Encode(""), ElementsAre());
  EXPECT_THAT(tokenizer->WithTemplate(tokenizer->Encode("the")), ElementsAre(1, 261));
  EXPECT_EQ(tokenizer->Decode(std::vector{261, 261}), "the the");
  EXPECT_EQ(tokenizer->Decode(std::vector{1, 261}), "<s> the");
  EXPECT_EQ(tokenizer->Decode(std::vector{1, 0, 261}, true), "the");
  EXPECT_TRUE(tokenizer->data().adds_bos());
  EXPECT_EQ(tokenizer->data().types[0], TokenType::kUnknown);
  EXPECT_EQ(tokenizer->data().types[3], TokenType::kByte);
}

/// A vocabulary of a few characters without bytes, as in the checks made with Hugging Face tokenizers 0.23.3.
Json SmallJson(const Json& normalizer, const Json& pre_tokenizer, bool normalized) {
  Json json = LlamaJson();
  json["normalizer"] = normalizer;
  json["pre_tokenizer"] = pre_tokenizer;
  json["added_tokens"] = {{{"id", 1}, {"content", "<s>"}, {"special", true}, {"normalized", normalized}}};
  json["model"]["vocab"] = {{"<unk>", 0}, {"<s>", 1}, {"▁", 3},  {"a", 4},
                            {"b", 5},     {"▁a", 6},  {"▁▁", 7}, {"x", 8}};
  json["model"]["merges"] = {"▁ a", "▁ ▁"};
  json["model"]["byte_fallback"] = false;
  return json;
}

// All expected tokens: Hugging Face tokenizers 0.23.3, encode(text, add_special_tokens=False).tokens.
TEST(TokenizerJson, PutsASpaceBeforeEachStretchAsPrependDoes) {
  const Json prepend = LlamaJson()["normalizer"];
  const auto raw = Make(SmallJson(prepend, nullptr, false));
  EXPECT_EQ(Tokens(*raw, "a<s>a"), (Strings{"▁a", "<s>", "▁a"}));
  EXPECT_EQ(Tokens(*raw, " a <s> a"), (Strings{"▁", "▁a", "▁", "<s>", "▁", "▁a"}));
  EXPECT_EQ(Tokens(*raw, "a<s><s>"), (Strings{"▁a", "<s>", "<s>"}));
  EXPECT_EQ(Tokens(*raw, " "), (Strings{"▁▁"}));
  EXPECT_EQ(Tokens(*raw, "zzaz"), (Strings{"▁", "<unk>", "a", "<unk>"}));
}

TEST(TokenizerJson, LooksForNormalizedTokensInNormalizedText) {
  const auto tokenizer = Make(SmallJson(LlamaJson()["normalizer"], nullptr, true));
  EXPECT_EQ(Tokens(*tokenizer, "a<s>a"), (Strings{"▁a", "<unk>", "a"}));
  EXPECT_EQ(Tokens(*tokenizer, " a <s> a"), (Strings{"▁", "▁a", "<s>", "▁a"}));
  EXPECT_EQ(Tokens(*tokenizer, "<s>a"), (Strings{"<s>", "a"}));
  EXPECT_EQ(tokenizer->Decode(std::vector{6, 1}), "a <s>");         // it decodes to what it was found as
  EXPECT_EQ(tokenizer->Encode(" <s>"), tokenizer->Encode(" zzz"));  // as plain text: "▁▁", unknown
}

TEST(TokenizerJson, SpellsSpacesAsMetaspaceDoes) {
  const auto make = [](const char* scheme, bool split) {
    return Make(SmallJson(
        nullptr, {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", split}},
        false));
  };
  EXPECT_EQ(Tokens(*make("first", false), "a<s>a"), (Strings{"▁a", "<s>", "a"}));
  EXPECT_EQ(Tokens(*make("first", false), "<s>a"), (Strings{"<s>", "a"}));
  EXPECT_EQ(Tokens(*make("first", false), " a"), (Strings{"▁a"}));
  EXPECT_EQ(Tokens(*make("first", false), "   a"), (Strings{"▁▁", "▁a"}));
  EXPECT_EQ(Tokens(*make("first", true), "   a"), (Strings{"▁", "▁", "▁a"}));
  EXPECT_EQ(Tokens(*make("always", false), "<s>a"), (Strings{"<s>", "▁a"}));
  EXPECT_EQ(Tokens(*make("always", true), "ab  a b"), (Strings{"▁a", "b", "▁", "▁a", "▁", "b"}));
  EXPECT_EQ(Tokens(*make("never", false), "a<s> a"), (Strings{"a", "<s>", "▁a"}));
}

// Pieces of a text without spaces inside tokens must not depend on where the text is cut for speed.
TEST(TokenizerJson, MergesAcrossSpacesWhenTokensHoldThem) {
  Json json = SmallJson(LlamaJson()["normalizer"], nullptr, false);
  json["model"]["vocab"]["a▁"] = 9;
  json["model"]["merges"] = {"a ▁", "▁ a"};
  EXPECT_EQ(Tokens(*Make(json), "a a"), (Strings{"▁", "a▁", "a"}));
}

TEST(TokenizerJson, FusesUnknownCharactersOnlyIfAsked) {
  Json json = SmallJson(nullptr, nullptr, false);
  EXPECT_EQ(Tokens(*Make(json), "xyyx"), (Strings{"x", "<unk>", "x"}));
  json["model"]["fuse_unk"] = false;
  EXPECT_EQ(Tokens(*Make(json), "xyyx"), (Strings{"x", "<unk>", "<unk>", "x"}));
  json["model"].erase("unk_token");
  EXPECT_EQ(Tokens(*Make(json), "xyyx"), (Strings{"x", "x"}));
}

TEST(TokenizerJson, NamesWhatItRefuses) {
  const Json prepend = {{"type", "Prepend"}, {"prepend", "▁"}};
  const auto sequence = [](const char* list, const Json& parts) {
    return Json{{"type", "Sequence"}, {list, parts}};
  };
  EXPECT_THAT(ErrorOf("/model/type", "Unigram"), HasSubstr("type \"Unigram\""));
  EXPECT_THAT(ErrorOf("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(ErrorOf("/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(ErrorOf("/model/unk_token", "<none>"), HasSubstr("unk_token \"<none>\" is not a token"));
  EXPECT_THAT(ErrorOf("/normalizer", {{"type", "Precompiled"}}), HasSubstr("\"Precompiled\""));
  EXPECT_THAT(ErrorOf("/normalizer", prepend), HasSubstr("Prepend or a regular expression without"));
  EXPECT_THAT(ErrorOf("/normalizer", {{"type", "Prepend"}, {"prepend", "x"}}),
              HasSubstr("\"prepend\":\"x\""));
  EXPECT_THAT(ErrorOf("/pre_tokenizer", {{"type", "Punctuation"}}), HasSubstr("\"Punctuation\""));
  EXPECT_THAT(ErrorOf("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "▁"}}),
              HasSubstr("Metaspace and a normalizer"));
  EXPECT_THAT(ErrorOf("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "_"}}),
              HasSubstr("another sign"));
  EXPECT_THAT(ErrorOf("/pre_tokenizer", {{"type", "Digits"}}), HasSubstr("cuts text in another way too"));
  EXPECT_THAT(ErrorOf("/pre_tokenizer",
                      sequence("pretokenizers",
                               {{{"type", "ByteLevel"}, {"add_prefix_space", false}}, {{"type", "Digits"}}})),
              HasSubstr("Digits after ByteLevel"));
  EXPECT_THAT(
      ErrorOf("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "x"}}}, {"behavior", "Removed"}}),
      HasSubstr("isolated regular expression"));
  EXPECT_THAT(ErrorOf("/post_processor", {{"type", "BertProcessing"}}), HasSubstr("\"BertProcessing\""));
  EXPECT_THAT(ErrorOf("/post_processor/special_tokens", Json::object()), HasSubstr("without ids"));
  EXPECT_THAT(ErrorOf("/decoder", {{"type", "WordPiece"}}), HasSubstr("\"WordPiece\""));
  EXPECT_THAT(ErrorOf("/model/vocab", Json::array()), HasSubstr("no vocabulary"));
  EXPECT_THAT(ErrorOf("/model/merges/0", "▁ q"), HasSubstr("merge 0 needs \"q\""));
  EXPECT_THAT(ErrorOf("/model/merges/1", "he"), HasSubstr("merge 1, \"he\", is not a pair"));
  EXPECT_THAT(ErrorOf("/added_tokens/1/content", "the"), HasSubstr("id 1 belongs to"));
  EXPECT_THAT(ErrorOf("/added_tokens/1/id", 900), HasSubstr("\"<s>\" has the ids 1 and 900"));
  EXPECT_THAT(ErrorOf("/added_tokens/1/id", 70000),
              HasSubstr("has the id 70000; with 271 tokens in the file"));
  EXPECT_THAT(ErrorOf("/added_tokens/1/id", std::uint64_t{1} << 60),
              HasSubstr("has the id 1152921504606846976"));
}

TEST(TokenizerJson, ReadsMergesOfTokensWithSpaces) {
  Json json = LlamaJson();
  json["normalizer"] = nullptr;
  json["model"]["vocab"] = {{"<unk>", 0}, {" ", 1}, {"  ", 2}, {"a", 3}, {"a ", 4}};
  json["added_tokens"] = Json::array();
  json["post_processor"] = nullptr;
  json["model"]["merges"] = {"   ", "a  "};
  EXPECT_THAT(ParseTokenizerJson(json, "x").merges, ElementsAre(Merge{1, 1, 2}, Merge{3, 1, 4}));
  json["model"]["merges"] = Json::parse(R"([[" ", " "], ["a", " "]])");
  EXPECT_THAT(ParseTokenizerJson(json, "x").merges, ElementsAre(Merge{1, 1, 2}, Merge{3, 1, 4}));
}

TEST(TokenizerJson, WritesWhatItReads) {
  std::vector<Json> files = {LlamaJson()};
  files.push_back(SmallJson(LlamaJson()["normalizer"], nullptr, true));
  for (const char* scheme : {"first", "always", "never"})
    files.push_back(SmallJson(
        {{"type", "NFC"}}, {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}}, false));
  files.push_back(LlamaJson());
  files.back()["added_tokens"][2]["lstrip"] = true;
  for (const Json& json : files) {
    const TokenizerData data = ParseTokenizerJson(json, "x"),
                        again = ParseTokenizerJson(ToTokenizerJson(data), "x");
    EXPECT_EQ(again.tokens, data.tokens);
    EXPECT_EQ(again.types, data.types);
    EXPECT_EQ(again.merges, data.merges);
    EXPECT_EQ(again.added, data.added);
    EXPECT_EQ(again.spaces, data.spaces);
    EXPECT_EQ(again.before, data.before);
    EXPECT_EQ(again.unknown, data.unknown);
    EXPECT_EQ(std::tie(again.nfc, again.byte_fallback, again.fuse_unknown, again.ignore_merges),
              std::tie(data.nfc, data.byte_fallback, data.fuse_unknown, data.ignore_merges));
  }
}

TEST(TokenizerJson, WritesASentencePieceModelWithTheSameIds) {
  const testing::ModelFields collapsing{.normalizer = ""};
  for (const testing::ModelFields& fields : {testing::ModelFields{}, collapsing}) {
    const Tokenizer model(ParseSentencePieceModel(
        testing::SentencePieceFile(testing::LlamaPieces(testing::kThePieces), fields), "x"));
    const auto written = Make(ToTokenizerJson(model.data()));
    EXPECT_EQ(written->data().spaces, model.data().spaces);
    Random random(1, "tokenizer_json_test");
    const Strings parts = {"the", " ", "  ", "a", "\u00e9", "<s>", "t", "\xff", "▁", "\n"};
    for (int trial = 0; trial < 2000; ++trial) {
      std::string text;
      for (std::size_t i = random.Below(8); i > 0; --i) text += parts[random.Below(parts.size())];
      ASSERT_EQ(written->Encode(text, trial % 2 == 0), model.Encode(text, trial % 2 == 0)) << text;
    }
  }
}

TEST(TokenizerDocument, ReadsWhatAJsonParserReads) {
  const std::string text =
      R"( {"a": [1, {"model": 2}], "model": {"x": "}\"", "vocab": {"\u0120a": 1, "b\\": -2},
      "merges": ["a b", ["c", "\u0064"], "\ud83d\ude00 x"]}, "z": null} )";
  const TokenizerDocument document(text, "x");
  EXPECT_EQ(document.json, Json::parse(R"({"a": [1, {"model": 2}],
      "model": {"x": "}\"", "vocab": {}, "merges": []}, "z": null})"));
  EXPECT_THAT(document.vocabulary, ElementsAre(std::pair("\u0120a", 1), std::pair("b\\", -2)));
  ASSERT_EQ(document.merges.size(), 3u);
  EXPECT_EQ(document.merges[0].first, "a b");
  EXPECT_TRUE(document.merges[1].is_pair);
  EXPECT_EQ(document.merges[1].second, "d");
  EXPECT_EQ(document.merges[2].first, "\U0001f600 x");
}

TEST(TokenizerDocument, SaysWhereTheFileIsBroken) {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      const TokenizerDocument document(text, "x.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of(R"({"model": {"vocab": {"a": x}}})"),
              HasSubstr("at byte 26: here should be an integer"));
  EXPECT_THAT(error_of(R"({"model": {"vocab": {"a" 1}}})"), HasSubstr("at byte 25: here should be ':'"));
  EXPECT_THAT(error_of(R"({"model": {"merges": ["a", 5]}})"),
              HasSubstr("at byte 27: here should be a string"));
  EXPECT_THAT(error_of(R"({"model": {"vocab": {"a": 1}}, "x": tru})"),
              HasSubstr("column 40"));  // of the file
  EXPECT_THAT(error_of(std::string(R"({"x": )") + std::string(1 << 20, '[')), HasSubstr("nested too deep"));
  EXPECT_THAT(error_of(""), HasSubstr("cannot parse x.json"));
}

// Every 1000th byte of a file of 5000 tokens, and every byte of its first thousand.
TEST(TokenizerDocument, RefusesEveryTruncatedFile) {
  Json json = LlamaJson();
  for (int id = 268; id < 5000; ++id) json["model"]["vocab"]["▁token" + std::to_string(id)] = id;
  const std::string text = json.dump();
  ASSERT_GT(text.size(), 90000u);
  for (std::size_t size = 0; size < text.size(); size += size < 1000 ? 1 : 1000)
    EXPECT_THROW(TokenizerDocument(text.substr(0, size), "x"), Error) << size;
}

TEST(TokenizerJson, SurvivesDamagedFiles) {
  const std::string good = LlamaJson().dump();
  Random random(3, "tokenizer_json_test");
  for (int trial = 0; trial < 3000; ++trial) {
    std::string text = good;
    for (int i = 0; i < 1 + trial % 3; ++i) {
      const std::size_t place = trial % 2 == 0 ? random.Below(text.size()) : text.find("\"normalizer\"");
      text[std::min(place + random.Below(400), text.size() - 1)] = "\"{}[]:,0a\xff"[random.Below(10)];
    }
    try {
      const TokenizerDocument document(text, "x");
      Json json = document.json;
      if (json.is_object() && json.contains("model") && json["model"].is_object()) {
        json["model"]["vocab"] = LlamaJson()["model"]["vocab"];
        const Tokenizer tokenizer(ParseTokenizerJson(json, "x"), "x");
        tokenizer.WithTemplate(tokenizer.Encode("the <s> \u00e9", true));
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
    }
  }
}

TEST(TokenizerJsonGolden, GivesTheIdsOfLlamaCppAndTransformersForLlama2) {
  const fs::path file = SharedData() / "tokenizers/llama2/tokenizer.json";
  FORGE_SKIP_WITHOUT(file);
  const auto tokenizer = LoadTokenizer(file);
  testing::CheckLlama2Vectors(*tokenizer, /*has_no_break_space=*/false);
  testing::CheckLlama2Vectors(*Make(ToTokenizerJson(tokenizer->data())), false);
}

TEST(TokenizerJsonGolden, GivesTheIdsOfTransformersForGpt2sTwoFiles) {
  const fs::path folder = SharedData() / "tokenizers/gpt2";
  FORGE_SKIP_WITHOUT(folder);
  const auto tokenizer = LoadTokenizer(folder);
  testing::CheckGpt2Vectors(*tokenizer);
  testing::CheckGpt2Vectors(*Make(ToTokenizerJson(tokenizer->data())));
  EXPECT_EQ(tokenizer->data().eos, 50256);
}

}  // namespace
}  // namespace forge::text
