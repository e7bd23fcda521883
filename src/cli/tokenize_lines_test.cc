// SPDX-License-Identifier: Apache-2.0
#include "cli/tokenize_lines.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "cli/command_list.h"
#include "io/atomic_file.h"
#include "text/byte_tokenizer.h"
#include "text/sentencepiece_model.h"
#include "text/testing_samples.h"
#include "text/testing_vectors.h"
#include "text/text_stream.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TokenizeLinesTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// What is written for `input`.
  std::string Run(const std::string& input, const LineOptions& options = {},
                  const text::Tokenizer* tokenizer = nullptr) {
    io::WriteFileAtomically(folder_ / "in", input);
    const int in = open((folder_ / "in").c_str(), O_RDONLY);
    std::FILE* out = std::fopen((folder_ / "out").c_str(), "w");
    error_.clear();
    try {
      TokenizeLines(tokenizer != nullptr ? *tokenizer : bytes_, options, in, out, stop_);
    } catch (const Error& error) {
      error_ = error.what();
    }
    close(in);
    std::fclose(out);
    return io::ReadFile(folder_ / "out");
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge_tokenize_lines_" + std::to_string(getpid()));
  const text::Tokenizer bytes_{text::MakeByteTokenizer()};
  StopToken stop_;
  std::string error_;
};

TEST_F(TokenizeLinesTest, AnswersEachLine) {
  EXPECT_EQ(Run("\"ab\"\n\"\"\n \"\\u00e9\" \r\n"), "[97,98]\n[]\n[195,169]\n");
  EXPECT_EQ(Run("\"a\"\n\"b\""), "[97]\n[98]\n");  // the last newline may be missing
  EXPECT_EQ(Run(""), "");
  EXPECT_EQ(Run("[97, 98]\n[]\n [ 195 ,169 ] \n", {.decode = true}), "\"ab\"\n\"\"\n\"\u00e9\"\n");
  EXPECT_EQ(error_, "");
}

TEST_F(TokenizeLinesTest, ReadsControlTokensInTheTextUnlessItIsPlain) {
  EXPECT_EQ(Run("\"a<|endoftext|>\"\n"), "[97,256]\n");
  EXPECT_THAT(Run("\"a<|endoftext|>\"\n", {.plain = true}), HasSubstr("[97,60,124,"));
  EXPECT_EQ(Run("[97,256]\n", {.decode = true}), "\"a<|endoftext|>\"\n");
}

TEST_F(TokenizeLinesTest, AddsAndTakesAwayTheTemplate) {
  const text::Tokenizer llama(text::ParseSentencePieceModel(
      text::testing::SentencePieceFile(text::testing::LlamaPieces(text::testing::kThePieces)), "x"));
  EXPECT_EQ(Run("\"the the\"\n", {}, &llama), "[261,261]\n");
  EXPECT_EQ(Run("\"the the\"\n", {.special = true}, &llama), "[1,261,261]\n");
  EXPECT_EQ(Run("[1,261,261]\n", {.decode = true, .special = true}, &llama), "\"the the\"\n");
  EXPECT_EQ(Run("[1,261,261]\n", {.decode = true}, &llama), "\"<s> the the\"\n");
}

TEST_F(TokenizeLinesTest, KeepsBytesThatAreNoUtf8BothWays) {
  EXPECT_EQ(Run("\"a\xff\"\n\"a\\udcff\"\n"), "[97,255]\n[97,255]\n");
  EXPECT_EQ(Run("[97,255]\n", {.decode = true}), "\"a\\udcff\"\n");
}

TEST_F(TokenizeLinesTest, NamesTheLineAndTheByteThatIsWrong) {
  EXPECT_EQ(Run("\"a\"\nb\n\"c\"\n"), "[97]\n");  // what came before is answered
  EXPECT_THAT(error_, HasSubstr("cannot encode line 2"));
  EXPECT_THAT(error_, HasSubstr("at byte 0: here should be a string"));
  Run("\"a\" x\n");
  EXPECT_THAT(error_, HasSubstr("at byte 4: the line should end here"));
  Run("\n");
  EXPECT_THAT(error_, HasSubstr("cannot encode line 1"));
  for (const auto& [line, problem] : std::vector<std::pair<std::string, std::string>>{
           {"[1,900]", "at byte 3: there is no token 900; the tokenizer knows 0 to 258"},
           {"[-1]", "there is no token -1"},
           {"[1152921504606846976]", "there is no token 1152921504606846976"},
           {"[99999999999999999999999]", "the number is too large"},
           {"[1 2]", "at byte 3: here should be ',' or ']'"},
           {"[1", "here should be ',' or ']'"},
           {"7", "here should be '['"},
           {"[1]]", "the line should end here"},
           {"[x]", "here should be an integer"}}) {
    Run(line + "\n", {.decode = true});
    EXPECT_THAT(error_, HasSubstr(problem)) << line;
  }
}

TEST_F(TokenizeLinesTest, TakesALineOfAMegabyteInChunks) {
  const std::string text(1 << 20, 'x');
  const std::string answer = Run("\"" + text + "\"\n\"y\"\n");
  EXPECT_EQ(std::count(answer.begin(), answer.end(), ','), static_cast<int>(text.size()) - 1);
  EXPECT_TRUE(answer.ends_with("120]\n[121]\n"));
}

// A program that waits for each answer before it writes the next line.
TEST_F(TokenizeLinesTest, AnswersBeforeItWaitsForMore) {
  int to[2], from[2];
  ASSERT_EQ(pipe(to), 0);
  ASSERT_EQ(pipe(from), 0);
  std::thread worker([&] {
    std::FILE* out = fdopen(from[1], "w");
    TokenizeLines(bytes_, {}, to[0], out, stop_);
    std::fclose(out);
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(write(to[1], "\"a\"\n", 4), 4);
    pollfd answered{.fd = from[0], .events = POLLIN, .revents = 0};
    constexpr int kMilliseconds = 10000;  // a failure, not a delay: the answer comes at once
    EXPECT_EQ(poll(&answered, 1, kMilliseconds), 1);
    if (HasFailure()) break;
    char answer[16] = {};
    EXPECT_EQ(read(from[0], answer, sizeof answer), 5);
    EXPECT_STREQ(answer, "[97]\n");
  }
  close(to[1]);
  worker.join();
  close(to[0]);
  close(from[0]);
}

TEST_F(TokenizeLinesTest, StopsBetweenLinesWhenAsked) {
  stop_.RequestStop();
  EXPECT_EQ(Run("\"a\"\n\"b\"\n"), "[97]\n");
  EXPECT_THAT(error_, HasSubstr("stopped on request"));
}

// What generation shows: the bytes of one token after the other through a TextStream.
TEST_F(TokenizeLinesTest, StreamedTextNeverHasHalfACharacter) {
  const text::Tokenizer llama(text::ParseSentencePieceModel(
      text::testing::SentencePieceFile(text::testing::LlamaPieces(text::testing::kThePieces)), "x"));
  Random random(1, "tokenize_lines_test");
  const std::vector<std::string> parts = {"the", " ", "\u00e9", "\u4e16\u754c", "\U0001f600", "a\u0301"};
  for (const text::Tokenizer* tokenizer : {&bytes_, &llama})
    for (int trial = 0; trial < 200; ++trial) {
      std::string text, streamed;
      for (std::size_t i = random.Below(8); i > 0; --i) text += parts[random.Below(parts.size())];
      text::TextStream stream;
      for (const int id : tokenizer->Encode(text)) {
        const std::string shown = stream.Add(tokenizer->TokenBytes(id));
        std::size_t cut = 0;
        ASSERT_EQ(text::CleanUtf8(shown, cut), shown);
        ASSERT_EQ(cut, 0u);
        streamed += shown;
      }
      streamed += stream.Finish();
      ASSERT_EQ(streamed, (tokenizer == &llama && !text.empty() ? " " : "") + text);
    }
}

class TokenizeCommandTest : public TokenizeLinesTest {
 protected:
  /// Standard output of forge tokenize with these arguments, or the error.
  std::string Output(const std::vector<std::string>& arguments, const std::string& input = "") {
    const std::unique_ptr<Command> command = MakeTokenizeCommand();
    FlagSet flags;
    command->AddFlags(flags);
    io::WriteFileAtomically(folder_ / "in", input);
    const int saved = dup(STDIN_FILENO), in = open((folder_ / "in").c_str(), O_RDONLY);
    dup2(in, STDIN_FILENO);
    ::testing::internal::CaptureStdout();
    std::string error;
    try {
      flags.Parse(arguments, "tokenize");
      Terminal terminal(false);
      command->Run(flags, terminal);
    } catch (const Error& problem) {
      error = problem.what();
    }
    const std::string out = ::testing::internal::GetCapturedStdout();
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(in);
    return error.empty() ? out : error;
  }
  void SetUp() override {
    TokenizeLinesTest::SetUp();
    io::WriteFileAtomically(
        model_, text::testing::SentencePieceFile(text::testing::LlamaPieces(text::testing::kThePieces)));
  }
  std::string model_ = (folder_ / "x.model").string();
};

TEST_F(TokenizeCommandTest, TakesDecodeWithAndWithoutIds) {
  EXPECT_EQ(Output({model_, "--jsonl"}, "\"the\"\n"), "[261]\n");
  EXPECT_EQ(Output({model_, "--jsonl", "--decode"}, "[261]\n"), "\"the\"\n");
  EXPECT_EQ(Output({"--jsonl", "--decode", model_}, "[261]\n"), "\"the\"\n");
  EXPECT_EQ(Output({"--decode", "--jsonl", model_}, "[261]\n"), "\"the\"\n");
  EXPECT_EQ(Output({model_, "--decode", "261,261"}), "the the\n");
  EXPECT_EQ(Output({model_, "--decode", "1,261", "--special"}), "the\n");
  EXPECT_THAT(Output({model_, "--text", "the", "--special"}), HasSubstr("1,261\n"));
  EXPECT_THAT(Output({model_, "--text", "<s>"}), HasSubstr("1\n"));
  EXPECT_THAT(Output({model_, "--text", "<s>", "--plain"}), HasSubstr("4 tokens"));
}

TEST_F(TokenizeCommandTest, SaysWhatIsMissing) {
  EXPECT_THAT(Output({model_}), HasSubstr("one of --text, --file, --decode and --jsonl"));
  EXPECT_THAT(Output({model_, "--jsonl", "--text", "a"}), HasSubstr("exactly one of"));
  EXPECT_THAT(Output({"--jsonl"}), HasSubstr("needs MODEL"));
  EXPECT_THAT(Output({model_, "--decode"}), HasSubstr("needs ids"));
  EXPECT_THAT(Output({model_, "--jsonl", "--decode", "1"}), HasSubstr("ids after --decode"));
}

}  // namespace
}  // namespace forge::cli
