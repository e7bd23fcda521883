// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "io/json_file.h"
#include "text/byte_alphabet.h"
#include "text/byte_tokenizer.h"
#include "text/normalizer.h"
#include "text/testing_vectors.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

namespace fs = std::filesystem;
using testing::CheckLlamaCppVectors;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SharedData;

/// h e l o and the space, with merges to "hello" and " hello"; "<s>" is control, "<tool>" user-defined.
TokenizerData HelloData() {
  TokenizerData data;
  data.tokens = {"h", "e", "l", "o", "Ġ", "he", "ll", "llo", "hello", "Ġhello", "<s>", "<tool>", "<tool>s"};
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  data.types[10] = TokenType::kControl;
  data.types[11] = data.types[12] = TokenType::kUserDefined;
  data.merges = testing::MergesOf(data, {{"h", "e"}, {"l", "l"}, {"ll", "o"}, {"he", "llo"}, {"Ġ", "hello"}});
  data.split_patterns = {kGpt2Pattern};
  return data;
}

TEST(Tokenizer, AppliesTheBestMergeFirst) {
  const Tokenizer tokenizer(HelloData());
  EXPECT_THAT(tokenizer.Encode("hello hello"), ElementsAre(8, 9));
  EXPECT_THAT(tokenizer.Encode("lllo"), ElementsAre(6, 2, 3));  // the leftmost "ll", then "llo" is gone
  EXPECT_THAT(tokenizer.Encode("heel"), ElementsAre(5, 1, 2));
  EXPECT_THAT(tokenizer.Encode(""), ElementsAre());
}

TEST(Tokenizer, TakesControlTokensFromTextOnlyWhenAsked) {
  const Tokenizer tokenizer(HelloData());
  EXPECT_THAT(tokenizer.Encode("he<s>ll", true), ElementsAre(5, 10, 6));
  EXPECT_THAT(tokenizer.Encode("he<s>ll"), ElementsAre(5, 6));  // '<', 's', '>' are not in this vocabulary
  EXPECT_THAT(tokenizer.Encode("he<tool>ll"), ElementsAre(5, 11, 6));
  EXPECT_THAT(tokenizer.Encode("<tool>s"), ElementsAre(12));  // the longest one wins
}

TEST(Tokenizer, DecodesBytesAndSkipsControlTokensWhenAsked) {
  const Tokenizer tokenizer(HelloData());
  const std::vector<int> ids = {8, 9, 10, 11, 99, -1};
  EXPECT_EQ(tokenizer.Decode(ids), "hello hello<s><tool>");
  EXPECT_EQ(tokenizer.Decode(ids, true), "hello hello<tool>");
  EXPECT_EQ(tokenizer.TokenBytes(9), " hello");
  EXPECT_EQ(tokenizer.IdOf("Ġhello"), 9);
  EXPECT_EQ(tokenizer.IdOf(" hello"), std::nullopt);
}

TEST(Tokenizer, TakesAWholePieceWhenMergesAreIgnored) {
  TokenizerData data = HelloData();
  data.merges.clear();
  data.ignore_merges = true;
  EXPECT_THAT(Tokenizer(data).Encode("hello helo"), ElementsAre(8, 4, 0, 1, 2, 3));
}

TEST(Tokenizer, RefusesAMergeOfUnknownTokens) {
  io::Json json = ToTokenizerJson(HelloData());
  json["model"]["merges"].push_back("o h");
  try {
    ParseTokenizerJson(json, "x.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("merge 5 needs \"oh\""));
  }
}

TEST(Tokenizer, SurvivesTheRoundTripThroughJson) {
  TokenizerData data = HelloData();
  data.split_patterns = {kDigitPattern, kGpt2Pattern};
  data.nfc = true;
  const TokenizerData read = ParseTokenizerJson(ToTokenizerJson(data), "x");
  EXPECT_EQ(read.tokens, data.tokens);
  EXPECT_EQ(read.types, data.types);
  EXPECT_EQ(read.merges, data.merges);
  EXPECT_EQ(read.split_patterns, data.split_patterns);
  EXPECT_TRUE(read.nfc);
}

TEST(Tokenizer, RefusesWhatWouldChangeTheIds) {
  const io::Json good = ToTokenizerJson(HelloData());
  const auto error_of = [&](const char* pointer, const io::Json& value) -> std::string {
    io::Json json = good;
    json[io::Json::json_pointer(pointer)] = value;
    try {
      ParseTokenizerJson(json, "x.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of("/model/type", "Unigram"), HasSubstr("\"Unigram\""));
  EXPECT_THAT(error_of("/model/byte_fallback", true), HasSubstr("byte_fallback and a ByteLevel"));
  EXPECT_THAT(error_of("/normalizer", {{"type", "Lowercase"}}), HasSubstr("\"Lowercase\""));
  EXPECT_THAT(error_of("/pre_tokenizer", {{"type", "Whitespace"}}), HasSubstr("\"Whitespace\""));
  EXPECT_THAT(error_of("/pre_tokenizer/add_prefix_space", true), HasSubstr("add_prefix_space"));
  EXPECT_THAT(error_of("/added_tokens/0/id", 3), HasSubstr("belongs to"));
  EXPECT_THAT(error_of("/model/vocab/h", 1 << 30), HasSubstr("has the id"));
  EXPECT_THAT(error_of("/model/merges/0", "he"), HasSubstr("not a pair"));
}

TEST(ByteTokenizer, GivesEachByteItsValue) {
  const Tokenizer tokenizer(ParseTokenizerJson(MakeByteTokenizerJson(), "x"));
  ASSERT_EQ(tokenizer.size(), kByteVocabSize);
  std::string all;
  std::vector<int> values;
  for (int byte = 0; byte < 256; ++byte) {
    all += static_cast<char>(byte);
    values.push_back(byte);
  }
  EXPECT_EQ(tokenizer.Encode(all), values);
  EXPECT_EQ(tokenizer.Decode(values), all);
  EXPECT_THAT(tokenizer.Encode("a<|endoftext|>b", true), ElementsAre('a', kByteEndOfText, 'b'));
  EXPECT_EQ(tokenizer.IdOf("<|endofthought|>"), kByteEndOfThought);
}

TEST(TokenizerGolden, GivesTheIdsOfLlamaCppForQwen2) {
  const fs::path file = SharedData() / "tokenizers/qwen2.5/tokenizer.json";
  FORGE_SKIP_WITHOUT(file);
  const auto tokenizer = Tokenizer::FromFile(file);
  CheckLlamaCppVectors(*tokenizer, SharedData() / "tokenizers/vectors_llamacpp/ggml-vocab-qwen2.gguf.inp",
                       47);
  EXPECT_EQ(tokenizer->IdOf("<|im_end|>"), 151645);
  EXPECT_EQ(tokenizer->data().eos, 151645);
  EXPECT_THAT(tokenizer->data().chat_template, HasSubstr("<|im_start|>"));
  EXPECT_EQ(tokenizer->Encode("e\u0301"), tokenizer->Encode("\u00e9"));  // NFC
}

TEST(TokenizerGolden, GivesTheIdsOfHuggingFaceForSmolLm2) {
  const fs::path file = SharedData() / "tokenizers/smollm2/tokenizer.json",
                 golden = SharedData() / "golden/smollm2-135m";
  FORGE_SKIP_WITHOUT(file);
  FORGE_SKIP_WITHOUT(golden);
  const auto tokenizer = Tokenizer::FromFile(file);
  for (const io::Json& one : io::ReadJsonFile(golden / "cases.json"))
    EXPECT_EQ(tokenizer->Encode(one["text"].get<std::string>(), true), one["ids"].get<std::vector<int>>());
  // Hugging Face tokenizers 0.23.3: the spaces stay together because the digit is cut off first.
  EXPECT_THAT(tokenizer->Encode("a  12"), ElementsAre(81, 256, 33, 34));
  EXPECT_THAT(tokenizer->Encode("x\n 3"), ElementsAre(104, 3805, 35));
  const io::Json chat = io::ReadJsonFile(golden / "chat.json");
  ASSERT_FALSE(chat["cases"].empty());
  for (const io::Json& one : chat["cases"])
    EXPECT_EQ(tokenizer->Encode(one["with_generation_prompt"].get<std::string>(), true),
              one["ids_with_generation_prompt"].get<std::vector<int>>());
}

TEST(Tokenizer, GivesTheSameIdsTheSecondTimeAndFromSeveralThreads) {
  const Tokenizer shared(HelloData());
  const auto text_of = [](int i) {
    return "hello " + std::string(static_cast<std::size_t>(i % 40), 'l') + "o hel hello" +
           (i % 2 == 0 ? " " : "");
  };
  std::vector<std::vector<int>> expected;
  for (int i = 0; i < 80; ++i) expected.push_back(Tokenizer(HelloData()).Encode(text_of(i)));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (int i = 0; i < 800; ++i) wrong += shared.Encode(text_of(i % 80)) != expected[i % 80];
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, RefusesIdsThatAreNoTokens) {
  const auto error_of = [](const std::function<void(TokenizerData&)>& change) -> std::string {
    TokenizerData data = HelloData();
    change(data);
    try {
      const Tokenizer tokenizer(data, "x");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of([](TokenizerData& data) { data.merges[0].result = 13; }),
              HasSubstr("merge is token 13"));
  EXPECT_THAT(error_of([](TokenizerData& data) { data.before = {-1}; }),
              HasSubstr("around a text is token -1"));
  EXPECT_THAT(error_of([](TokenizerData& data) { data.unknown = 99; }),
              HasSubstr("unknown token is token 99"));
  EXPECT_THAT(error_of([](TokenizerData& data) { data.scores = {1}; }), HasSubstr("13 tokens and 1 scores"));
  EXPECT_THAT(error_of([](TokenizerData& data) { data.types.pop_back(); }), HasSubstr("12 token types"));
}

// Qwen's vocabulary has all 256 bytes.
TEST(TokenizerGolden, GivesBackAnyBytesForQwen2) {
  const fs::path file = SharedData() / "tokenizers/qwen2.5/tokenizer.json";
  FORGE_SKIP_WITHOUT(file);
  const auto tokenizer = Tokenizer::FromFile(file);
  Random random(2, "tokenizer_test");
  for (int trial = 0; trial < 1000; ++trial) {
    std::string bytes;
    for (int i = 0; i < trial % 50; ++i) bytes += static_cast<char>(random.Below(256));
    std::string buffer;  // two bytes may happen to be a mark
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(bytes)), NormalizeNfc(bytes, buffer));
  }
}

// SmolLM2's vocabulary has no token for some control bytes and for bytes that UTF-8 never uses; they are left
// out.
TEST(TokenizerGolden, GivesBackAllBytesThatTheVocabularyHas) {
  const fs::path file = SharedData() / "tokenizers/smollm2/tokenizer.json";
  FORGE_SKIP_WITHOUT(file);
  const auto tokenizer = Tokenizer::FromFile(file);
  Random random(1, "tokenizer_test");
  for (int trial = 0; trial < 300; ++trial) {
    std::string bytes;
    for (int i = 0; i < trial; ++i) bytes += static_cast<char>(random.Below(trial % 2 == 0 ? 256 : 128));
    std::string kept;
    for (const char byte : bytes)
      if (tokenizer->IdOf(SpellByte(static_cast<unsigned char>(byte)))) kept += byte;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(bytes)), kept);
  }
}

}  // namespace
}  // namespace forge::text
