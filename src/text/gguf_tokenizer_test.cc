// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/philox.h"
#include "io/json_file.h"
#include "text/byte_tokenizer.h"
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
  data.merges = {{"t", "h"}};
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
  metadata["tokenizer.ggml.model"] = std::string("llama");
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("\"llama\""));
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

TEST(GgufTokenizerGolden, GivesTheIdsOfLlamaCppForGpt2) {
  const fs::path file = SharedData() / "tokenizers/vectors_llamacpp/ggml-vocab-gpt-2.gguf";
  FORGE_SKIP_WITHOUT(file);
  const auto tokenizer = LoadTokenizer(file);
  testing::CheckLlamaCppVectors(*tokenizer, file.string() + ".inp", 47);
  std::size_t count = 0;
  for (const io::Json& one : io::ReadJsonFile(SharedData() / "tokenizers/vectors_made/gpt2.json")) {
    EXPECT_EQ(tokenizer->Encode(one["text"].get<std::string>()), one["ids"].get<std::vector<int>>())
        << one["text"];
    ++count;
  }
  EXPECT_EQ(count, 140u);
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
