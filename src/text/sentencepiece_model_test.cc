// SPDX-License-Identifier: Apache-2.0
#include "text/sentencepiece_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/philox.h"
#include "text/load_tokenizer.h"
#include "text/testing_samples.h"
#include "text/testing_vectors.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

namespace fs = std::filesystem;
using testing::BytesField;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LlamaPieces;
using testing::NumberField;
using testing::Piece;
using testing::SentencePieceFile;
using testing::SharedData;

TokenizerData Parse(const std::vector<Piece>& pieces, const testing::ModelFields& fields = {}) {
  return ParseSentencePieceModel(SentencePieceFile(pieces, fields), "x.model");
}

std::string ErrorOf(const std::string& file) {
  try {
    ParseSentencePieceModel(file, "x.model");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    return error.what();
  }
  return "no error";
}

TEST(SentencePieceModel, MergesByScoreWithASpaceInFront) {
  const Tokenizer tokenizer(Parse(LlamaPieces(testing::kThePieces)));
  EXPECT_THAT(tokenizer.Encode("the"), ElementsAre(261));
  EXPECT_THAT(tokenizer.Encode("the the"), ElementsAre(261, 261));
  EXPECT_THAT(tokenizer.Encode("  the"), ElementsAre(262, 261));  // "▁▁▁the": "▁t" comes before "▁▁"
  EXPECT_THAT(tokenizer.Encode("tea"), ElementsAre(259, 266, 267));
  EXPECT_THAT(tokenizer.Encode(""), ElementsAre());
  EXPECT_THAT(tokenizer.Encode(" "), ElementsAre(262));
  EXPECT_EQ(tokenizer.Decode(std::vector{261, 261}), "the the");
  EXPECT_EQ(tokenizer.Decode(std::vector{1, 262, 261}, true), "  the");
  EXPECT_EQ(tokenizer.TokenBytes(261), " the");
}

TEST(SentencePieceModel, FallsBackToBytesAndBack) {
  const Tokenizer tokenizer(Parse(LlamaPieces(testing::kThePieces)));
  EXPECT_THAT(tokenizer.Encode("a\u00e9"), ElementsAre(263, 267, 3 + 0xc3, 3 + 0xa9));
  EXPECT_THAT(tokenizer.Encode("\xff"), ElementsAre(263, 3 + 0xff));
  Random random(1, "sentencepiece_model_test");
  for (int trial = 0; trial < 300; ++trial) {
    std::string bytes;
    for (int i = 0; i < trial % 40; ++i) bytes += static_cast<char>(random.Below(256));
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(bytes)), bytes);
  }
}

TEST(SentencePieceModel, TakesTheLeftmostOfEqualScores) {
  std::vector<Piece> pieces = LlamaPieces({"a", "b"});
  pieces.push_back({"ab", -5});  // 261
  pieces.push_back({"ba", -5});  // 262
  const testing::ModelFields no_prefix{.normalizer = NumberField(3, 0) + NumberField(4, 0)};
  const Tokenizer tokenizer(Parse(pieces, no_prefix));
  EXPECT_THAT(tokenizer.Encode("aba"), ElementsAre(261, 259));
  EXPECT_THAT(tokenizer.Encode("bab"), ElementsAre(262, 260));
}

TEST(SentencePieceModel, FusesUnknownCharactersWithoutByteFallback) {
  const testing::ModelFields fields{.trainer = NumberField(3, 2)};
  const Tokenizer tokenizer(
      Parse({{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, {"▁", -1}, {"a", -2}}, fields));
  EXPECT_THAT(tokenizer.Encode("axyza"), ElementsAre(3, 4, 0, 4));
  EXPECT_THAT(tokenizer.Encode("x\xff"), ElementsAre(3, 0));
}

// Characters that are in pieces but no pieces: "q" and "u" only make "qu".
TEST(SentencePieceModel, MergesCharactersThatAreNoPieces) {
  const Tokenizer tokenizer(Parse(LlamaPieces({"qu", "▁"})));
  EXPECT_THAT(tokenizer.Encode("qu"), ElementsAre(260, 259));
  EXPECT_THAT(tokenizer.Encode("uq"), ElementsAre(260, 3 + 'u', 3 + 'q'));
  EXPECT_THROW(ToTokenizerJson(tokenizer.data()), Error);
}

TEST(SentencePieceModel, KeepsUserDefinedPiecesWholeAndTakesUnusedOnesApart) {
  std::vector<Piece> pieces = LlamaPieces({"he", "hel", "▁", "h", "e", "l"});
  pieces[259].type = 5;
  pieces.push_back({"<h>", 0, 4});  // 265
  pieces.push_back({"▁▁▁", 0, 4});  // 266
  const Tokenizer tokenizer(Parse(pieces));
  EXPECT_THAT(tokenizer.Encode("hel"), ElementsAre(261, 260));
  EXPECT_THAT(tokenizer.Encode("he"), ElementsAre(261, 262, 263));
  EXPECT_THAT(tokenizer.Encode("l<h>l"), ElementsAre(261, 264, 265, 264));  // no "▁" after it
  EXPECT_THAT(tokenizer.Encode("l   l"), ElementsAre(261, 264, 266, 264));
  EXPECT_EQ(tokenizer.Decode(std::vector{264, 266}), "l   ");
}

TEST(SentencePieceModel, CollapsesSpacesWhenItsNormalizerSaysSo) {
  const testing::ModelFields fields{.normalizer =
                                        BytesField(1, "identity")};  // the default is to remove them
  const Tokenizer tokenizer(Parse(LlamaPieces(testing::kThePieces), fields));
  EXPECT_THAT(tokenizer.Encode("  the   the  "), ElementsAre(261, 261));
  EXPECT_THAT(tokenizer.Encode("   "), ElementsAre());
}

TEST(SentencePieceModel, PutsBosInFrontAndLetsTheConfigSayOtherwise) {
  const fs::path folder = fs::temp_directory_path() / ("forge_spm_" + std::to_string(getpid()));
  fs::create_directories(folder);
  io::WriteFileAtomically(folder / "tokenizer.model", SentencePieceFile(LlamaPieces(testing::kThePieces)));
  EXPECT_THAT(LoadTokenizer(folder)->WithTemplate({261}), ElementsAre(1, 261));
  io::WriteJsonFile(folder / "tokenizer_config.json",
                    {{"add_bos_token", false}, {"add_eos_token", true}, {"chat_template", "x"}});
  const auto tokenizer = LoadTokenizer(folder / "tokenizer.model");
  EXPECT_THAT(tokenizer->WithTemplate({261}), ElementsAre(261, 2));
  EXPECT_THAT(tokenizer->WithoutTemplate(std::vector{261, 2}), ElementsAre(261));
  EXPECT_EQ(tokenizer->data().chat_template, "x");
  EXPECT_EQ(tokenizer->data().eos, 2);
  fs::remove_all(folder);
}

TEST(SentencePieceModel, NamesWhatItRefuses) {
  const std::vector<Piece> pieces = LlamaPieces({"a"});
  const auto with = [&](const std::string& trainer, const std::string& normalizer) {
    return ErrorOf(SentencePieceFile(pieces, {trainer, normalizer}));
  };
  EXPECT_THAT(with(NumberField(3, 1), ""), HasSubstr("its model is unigram; forge knows bpe"));
  EXPECT_THAT(with("", ""), HasSubstr("unigram"));  // the default of the proto
  EXPECT_THAT(with(NumberField(3, 4), ""), HasSubstr("its model is char"));
  EXPECT_THAT(with(NumberField(3, 2) + NumberField(24, 1), ""), HasSubstr("treat_whitespace_as_suffix"));
  EXPECT_THAT(with(NumberField(3, 2), BytesField(1, "nmt_nfkc") + BytesField(2, "table")),
              HasSubstr("\"nmt_nfkc\" is a precompiled table"));
  EXPECT_THAT(with(NumberField(3, 2), NumberField(5, 0)), HasSubstr("escape_whitespaces"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no pieces"));
  EXPECT_THAT(ErrorOf(SentencePieceFile({{"", 0, 1}})), HasSubstr("at byte 11: piece 0 has no text"));
  EXPECT_THAT(ErrorOf(SentencePieceFile({{"a", 0, 7}})), HasSubstr("piece 0 is of type 7"));
}

TEST(SentencePieceModel, ChecksEveryLengthAgainstTheFile) {
  EXPECT_THAT(ErrorOf(testing::Varint(1 << 3 | 2) + testing::Varint(std::uint64_t{1} << 60)),
              HasSubstr("at byte 10: field 1 should have 1152921504606846976 bytes; 0 are left"));
  EXPECT_THAT(ErrorOf(std::string(11, '\xff')), HasSubstr("more than ten bytes"));
  EXPECT_THAT(ErrorOf("\x0b"), HasSubstr("wire type 3"));
  EXPECT_THAT(ErrorOf(std::string("\x00\x00", 2)), HasSubstr("a field has the number 0"));
  EXPECT_THAT(ErrorOf("\x08\x01"), HasSubstr("field 1 is no message"));
  const std::string good = SentencePieceFile(LlamaPieces(testing::kThePieces));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_THAT(ErrorOf(good.substr(0, size)), ::testing::AnyOf(HasSubstr("at byte"), HasSubstr("no pieces"),
                                                                HasSubstr("it may be cut off")))
        << size;
}

TEST(SentencePieceModel, SurvivesFlippedBytes) {
  const std::string good = SentencePieceFile(LlamaPieces(testing::kThePieces));
  Random random(2, "sentencepiece_model_test");
  for (int trial = 0; trial < 3000; ++trial) {
    std::string file = good;
    for (int i = 0; i < 1 + trial % 4; ++i)
      file[random.Below(file.size())] = static_cast<char>(random.Below(256));
    try {
      const Tokenizer tokenizer(ParseSentencePieceModel(file, "x"), "x");
      tokenizer.Decode(tokenizer.Encode("the \u00e9 the", true));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
    }
  }
}

TEST(SentencePieceModel, RefusesAPieceThatWouldTakeTooLongToSplit) {
  std::vector<Piece> pieces = LlamaPieces({std::string(1025, 'a')});
  EXPECT_THROW(Tokenizer(Parse(pieces), "x"), Error);
}

TEST(SentencePieceModelGolden, GivesTheIdsOfLlamaCppAndTransformersForLlama2) {
  const fs::path file = SharedData() / "tokenizers/llama2/tokenizer.model";
  FORGE_SKIP_WITHOUT(file);
  testing::CheckLlama2Vectors(*LoadTokenizer(file), /*has_no_break_space=*/true);
}

// sentencepiece 0.2.3, encode; the first two texts have runs of spaces, which these models collapse.
TEST(SentencePieceModelGolden, GivesTheIdsOfSentencePieceForTinyStories) {
  const fs::path folder = SharedData() / "tokenizers/tinystories_spm";
  FORGE_SKIP_WITHOUT(folder);
  const std::string text = "Hello  world \u00e9\x01 \u65e5\u672c";
  EXPECT_THAT(LoadTokenizer(folder / "tok2048.model")->Encode(text),
              ElementsAre(346, 306, 1950, 1471, 1946, 2021, 4, 1946, 233, 154, 168, 233, 159, 175));
  EXPECT_THAT(LoadTokenizer(folder / "tok4096.model")->Encode(text),
              ElementsAre(346, 2226, 1471, 3994, 4069, 4, 3994, 233, 154, 168, 233, 159, 175));
}

}  // namespace
}  // namespace forge::text
