// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/philox.h"
#include "io/json_file.h"
#include "text/byte_tokenizer.h"
#include "text/sentencepiece_model.h"
#include "text/testing_samples.h"
#include "text/testing_vectors.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::SharedData;

TokenizerData Sample() {
  TokenizerData data = MakeByteTokenizer();
  data.tokens.push_back("th");
  data.types.push_back(TokenType::kNormal);
  data.merges = testing::MergesOf(data, {{"t", "h"}});
  data.split_patterns = {kDigitPattern, kGpt2Pattern};
  data.chat_template = "{{ messages }}";
  data.bos = 256;
  return data;
}

void ExpectEqual(const TokenizerData& a, const TokenizerData& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.types, b.types);
  EXPECT_EQ(a.merges, b.merges);
  EXPECT_EQ(a.split_patterns, b.split_patterns);
  EXPECT_EQ(a.nfc, b.nfc);
  EXPECT_EQ(a.bos, b.bos);
  EXPECT_EQ(a.eos, b.eos);
  EXPECT_EQ(a.pad, b.pad);
  EXPECT_EQ(a.chat_template, b.chat_template);
}

std::string ErrorOf(const io::GgufMetadata& metadata) {
  try {
    ReadGgufTokenizer(metadata, "x.gguf");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(GgufTokenizer, GivesBackWhatWasWritten) {
  const TokenizerData data = Sample();
  ExpectEqual(ReadGgufTokenizer(ToGgufMetadata(data, 260), "x"), data);
}

TEST(GgufTokenizer, PadsTheTokensToTheRowsOfTheEmbedding) {
  const io::GgufMetadata metadata = ToGgufMetadata(Sample(), 262);
  const auto& tokens = *io::FindTexts(metadata, "tokenizer.ggml.tokens");
  ASSERT_EQ(tokens.size(), 262u);
  EXPECT_EQ(tokens[261], "[PAD261]");
  EXPECT_EQ(io::FindIntegers(metadata, "tokenizer.ggml.token_type")->at(261), 5);
  EXPECT_EQ(Tokenizer(ReadGgufTokenizer(metadata, "x")).TokenBytes(261), "");
  EXPECT_THROW(ToGgufMetadata(Sample(), 259), Error);
}

TEST(GgufTokenizer, RefusesWhatGgufOrForgeHasNoNameFor) {
  TokenizerData data = Sample();
  data.split_patterns = {"x+"};
  EXPECT_THROW(ToGgufMetadata(data, 260), Error);
  io::GgufMetadata metadata = ToGgufMetadata(Sample(), 260);
  metadata["tokenizer.ggml.pre"] = std::string("tekken");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("\"tekken\""));
  metadata.erase("tokenizer.ggml.pre");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("pre is missing"));
  metadata["tokenizer.ggml.model"] = std::string("t5");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("\"t5\""));
  EXPECT_THAT(ErrorOf({}), HasSubstr("no tokenizer"));
}

TEST(GgufTokenizer, WritesTheByteTokenizerAlthoughItHasNoSplitter) {
  const io::GgufMetadata metadata = ToGgufMetadata(MakeByteTokenizer(), kByteVocabSize);
  EXPECT_EQ(*io::FindText(metadata, "tokenizer.ggml.pre"), "gpt-2");
}

TEST(GgufTokenizer, IsSavedAsTokenizerJson) {
  const fs::path folder = fs::temp_directory_path() / ("forge_gguf_tokenizer_" + std::to_string(getpid()));
  fs::create_directories(folder);
  SaveTokenizer(folder, Sample(), 128);
  ExpectEqual(LoadTokenizer(folder)->data(), Sample());
  ExpectEqual(LoadTokenizer(folder / "tokenizer.json")->data(), Sample());
  fs::remove_all(folder);
}

TokenizerData Llama() {
  return ParseSentencePieceModel(testing::SentencePieceFile(testing::LlamaPieces(testing::kThePieces)), "x");
}

TEST(GgufTokenizer, GivesBackASentencePieceModel) {
  const TokenizerData data = Llama(), read = ReadGgufTokenizer(ToGgufMetadata(data, 270), "x");
  EXPECT_EQ(read.scores.size(), 270u);
  EXPECT_EQ(read.tokens[269], "[PAD269]");
  EXPECT_EQ(read.spaces, data.spaces);
  EXPECT_EQ(read.unknown, 0);
  EXPECT_EQ(read.before, data.before);
  EXPECT_THAT(Tokenizer(read).Encode("  the t\u00e9"),
              ::testing::ElementsAreArray(Tokenizer(data).Encode("  the t\u00e9")));
}

TEST(GgufTokenizer, TakesWhatIsMissingForLlamaFromLlamaCpp) {
  io::GgufMetadata metadata = ToGgufMetadata(Llama(), 268);
  for (const char* key : {"add_bos_token", "add_space_prefix", "bos_token_id", "eos_token_id",
                          "unknown_token_id", "remove_extra_whitespaces", "pre"})
    metadata.erase(std::string("tokenizer.ggml.") + key);
  const TokenizerData data = ReadGgufTokenizer(metadata, "x");
  EXPECT_THAT(data.before, ::testing::ElementsAre(1));
  EXPECT_EQ(data.eos, 2);
  EXPECT_EQ(data.unknown, 0);
  EXPECT_THAT(Tokenizer(data).Encode("the"), ::testing::ElementsAre(261));
  metadata["tokenizer.ggml.add_space_prefix"] = false;
  EXPECT_THAT(Tokenizer(ReadGgufTokenizer(metadata, "x")).Encode("the"), ::testing::ElementsAre(264, 260));
  metadata.erase("tokenizer.ggml.scores");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("268 tokens and 0 scores"));
}

TEST(GgufTokenizer, GivesMergesScoresWithTheSameIds) {
  const TokenizerData data = ParseTokenizerJson(testing::LlamaJson(), "x");
  const Tokenizer tokenizer(data), read(ReadGgufTokenizer(ToGgufMetadata(data, 268), "x"));
  Random random(1, "gguf_tokenizer_test");
  const std::vector<std::string> parts = {"the", " ", "  ", "t", "h", "e", "a", "\u00e9", "\xff"};
  for (int trial = 0; trial < 2000; ++trial) {
    std::string text;
    for (std::size_t i = random.Below(9); i > 0; --i) text += parts[random.Below(parts.size())];
    ASSERT_EQ(read.Encode(text), tokenizer.Encode(text)) << text;
  }
}

TEST(GgufTokenizer, RefusesMergesThatNoScoresGive) {
  const auto error_of = [](TokenizerData data) -> std::string {
    try {
      ToGgufMetadata(data, static_cast<int>(data.tokens.size()));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  TokenizerData data = ParseTokenizerJson(testing::LlamaJson(), "x");
  data.merges.pop_back();  // "▁▁" can be put together, but is not
  EXPECT_THAT(error_of(data), HasSubstr("not all the ways"));
  data = ParseTokenizerJson(testing::LlamaJson(), "x");
  data.tokens.insert(data.tokens.end(), {"th", "the", "ea", "thea"});
  data.types.resize(data.tokens.size(), TokenType::kNormal);
  data.merges = testing::MergesOf(
      data, {{"th", "e"}, {"e", "a"}, {"t", "he"}, {"t", "h"}, {"h", "e"}, {"the", "a"}, {"th", "ea"}});
  EXPECT_THAT(error_of(data), HasSubstr("make tokens in turn"));
  data = ParseTokenizerJson(testing::LlamaJson(), "x");
  data.before = {2};
  EXPECT_THAT(error_of(data), HasSubstr("other tokens around a text"));
  data.before = {1};
  data.added.push_back({.id = 2, .lstrip = true});
  EXPECT_THAT(error_of(data), HasSubstr("white space along"));
  data.added.clear();
  data.nfc = true;
  EXPECT_THAT(error_of(data), HasSubstr("no name in GGUF"));
}

TEST(GgufTokenizerGolden, GivesTheIdsOfLlamaCppForGpt2) {
  const fs::path file = SharedData() / "tokenizers/vectors_llamacpp/ggml-vocab-gpt-2.gguf";
  FORGE_SKIP_WITHOUT(file);
  testing::CheckGpt2Vectors(*LoadTokenizer(file));
}

TEST(GgufTokenizerGolden, GivesTheIdsOfLlamaCppForLlama2) {
  const fs::path file = SharedData() / "tokenizers/vectors_llamacpp/ggml-vocab-llama-spm.gguf",
                 tiny = SharedData() / "models/llama2_tiny_random/llama-2-tiny-random.gguf";
  FORGE_SKIP_WITHOUT(file);
  FORGE_SKIP_WITHOUT(tiny);
  testing::CheckLlama2Vectors(*LoadTokenizer(file), true);
  testing::CheckLlama2Vectors(*LoadTokenizer(tiny), true);
  // And from merges, by way of the scores that are made of them.
  const auto json = LoadTokenizer(SharedData() / "tokenizers/llama2/tokenizer.json");
  testing::CheckLlama2Vectors(Tokenizer(ReadGgufTokenizer(ToGgufMetadata(json->data(), 32000), "x")), false);
}

TEST(GgufTokenizerGolden, GivesTheIdsOfHuggingFaceForSmolLm2) {
  const fs::path file = SharedData() / "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
  FORGE_SKIP_WITHOUT(file);
  const auto tokenizer = LoadTokenizer(file);
  const Tokenizer written(ParseTokenizerJson(ToTokenizerJson(tokenizer->data()), "x"));
  for (const io::Json& one : io::ReadJsonFile(SharedData() / "golden/smollm2-135m/cases.json")) {
    const auto text = one["text"].get<std::string>();
    EXPECT_EQ(tokenizer->Encode(text, true), one["ids"].get<std::vector<int>>()) << text;
    EXPECT_EQ(written.Encode(text, true), one["ids"].get<std::vector<int>>()) << text;
  }
  EXPECT_THAT(tokenizer->Encode("a  12"),
              ::testing::ElementsAre(81, 256, 33, 34));  // digits are cut off first
  EXPECT_EQ(tokenizer->data().eos, 2);
  EXPECT_THAT(tokenizer->data().chat_template, HasSubstr("You are a helpful AI assistant"));
}

TEST(GgufTokenizer, SurvivesDamagedMetadata) {
  const io::GgufMetadata good = ToGgufMetadata(Sample(), 260);
  Random random(1, "gguf_tokenizer_test");
  for (int trial = 0; trial < 300; ++trial) {
    io::GgufMetadata metadata = good;
    auto tokens = *io::FindTexts(metadata, "tokenizer.ggml.tokens");
    std::string& token = tokens[random.Below(260)];
    token = trial % 2 == 0 ? "" : std::string(1, static_cast<char>(random.Below(256)));
    metadata["tokenizer.ggml.tokens"] = io::GgufArray(tokens);
    if (trial % 3 == 0)
      metadata["tokenizer.ggml.merges"] = io::GgufArray(std::vector<std::string>{token + " ", ""});
    if (trial % 5 == 0) metadata["tokenizer.ggml.eos_token_id"] = std::int32_t{-5};
    try {
      const Tokenizer tokenizer(ReadGgufTokenizer(metadata, "x"), "x");
      tokenizer.Decode(tokenizer.Encode("the 123 <|endoftext|> \xff", true));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
    }
  }
}

}  // namespace
}  // namespace forge::text
