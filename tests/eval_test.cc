// SPDX-License-Identifier: Apache-2.0
// forge eval and forge perplexity as a user runs them, on material that the tests make.
#include <gmock/gmock.h>

#include "cli_fixture.h"
#include "io/atomic_file.h"

namespace forge {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;

class EvalProgram : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    model_ = MakeModel("model", 32, 256);
    io::WriteFileAtomically(folder_ / "task.yaml", R"(
task: colors
output_type: multiple_choice
test_split: test
training_split: train
doc_to_text: "{{q}}="
doc_to_target: a
doc_to_choice: c
metric_list: [{metric: acc}, {metric: acc_norm}]
)");
    Data("test", 12);
    Data("train", 5);
  }
  void Data(const std::string& split, int count) const {
    std::string lines;
    for (int i = 0; i < count; ++i)
      lines += R"({"q": ")" + split + std::to_string(i) + R"(", "c": ["ab", "cde"], "a": )" +
               std::to_string(i % 2) + "}\n";
    io::CreateFolders(folder_ / "data" / "colors");
    io::WriteFileAtomically(folder_ / "data" / "colors" / (split + ".jsonl"), lines);
  }
  Outcome Eval(std::vector<std::string> more) const {
    std::vector<std::string> command{"eval", model_, "--data", Path("data"), "--cache", Path("cache")};
    command.insert(command.end(), more.begin(), more.end());
    return Run(command);
  }
  std::string model_;
};

TEST_F(EvalProgram, MeasuresATaskFileOnceAndKeepsItsLog) {
  const Outcome first = Eval({"--tasks", Path("task.yaml"), "--few-shot", "2", "--limit", "8", "--json"});
  ASSERT_EQ(first.code, 0) << first.err;
  const io::Json result = io::Json::parse(first.out)["results"][0];
  EXPECT_EQ(result["task"], "colors");
  EXPECT_EQ(result["metric"], "acc");
  EXPECT_EQ(result["n"], 8);
  EXPECT_EQ(result["num_fewshot"], 2);
  EXPECT_EQ(result["split"], "test");
  EXPECT_EQ(result["cached"], false);
  EXPECT_EQ(result["data"]["sha256"].get<std::string>().size(), 64U);
  EXPECT_LT(result["ci"][0], result["ci"][1]);
  EXPECT_GT(result["tokens_per_second"], 0);
  const std::string log = io::ReadFile(result["log"].get<std::string>());
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 8);
  const io::Json item = io::Json::parse(log.substr(0, log.find('\n')));
  EXPECT_THAT(item["context"].get<std::string>(),
              ::testing::MatchesRegex("train[0-9]= (ab|cde)\n\ntrain[0-9]= (ab|cde)\n\ntest0="));

  const Outcome again = Eval({"--tasks", Path("task.yaml"), "--few-shot", "2", "--limit", "8", "--json"});
  EXPECT_EQ(io::Json::parse(again.out)["results"][0]["cached"], true);
  EXPECT_EQ(io::Json::parse(again.out)["results"][0]["value"], result["value"]);
  EXPECT_THAT(again.err, HasSubstr("measured before"));
  for (const std::vector<std::string>& other : {std::vector<std::string>{"--few-shot", "1"},
                                                {"--few-shot", "2", "--seed", "2"},
                                                {"--few-shot", "2", "--fresh"}}) {
    std::vector<std::string> command{"--tasks", Path("task.yaml"), "--limit", "8", "--json"};
    command.insert(command.end(), other.begin(), other.end());
    EXPECT_EQ(io::Json::parse(Eval(command).out)["results"][0]["cached"], false) << other.back();
  }
}

TEST_F(EvalProgram, TakesTasksOfBothKindsTogether) {
  const Outcome outcome = Eval({"--tasks", "starter," + Path("task.yaml"), "--limit", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* word : {"math", "direct", "colors", "acc_norm", "exact_match"})
    EXPECT_THAT(outcome.out, HasSubstr(word));
  const Outcome other_split = Eval({"--tasks", Path("task.yaml"), "--split", "train", "--json"});
  EXPECT_EQ(io::Json::parse(other_split.out)["results"][0]["n"], 5);
}

TEST_F(EvalProgram, RefusesWhatItCannotMeasure) {
  const struct {
    std::vector<std::string> arguments;
    int code;
    const char* message;
  } cases[] = {{{"--tasks", "arc_esay"}, 2, "did you mean arc_easy?"},
               {{"--tasks", "gsm8k"}, 3, "forge data pull gsm8k"},
               {{"--tasks", Path("task.yaml"), "--split", "dev"}, 2, "test, train"},
               {{"--tasks", "starter", "--split", "train"}, 2, "search, selection and test"},
               {{"--tasks", Path("task.yaml"), "--few-shot", "6"}, 2, "there are 5"},
               {{"--tasks", "humaneval"}, 2, "--allow-code-execution"},
               {{"--tasks", Path("none.yaml")}, 3, "none.yaml"}};
  for (const auto& c : cases) {
    const Outcome outcome = Eval(c.arguments);
    EXPECT_EQ(outcome.code, c.code) << c.message << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(c.message));
  }
  EXPECT_EQ(Run({"eval"}).code, 2);
  EXPECT_THAT(Run({"eval", "--list-tasks"}).out, HasSubstr("hellaswag\n"));
}

TEST_F(EvalProgram, GivesPerplexityByTokenWordAndByte) {
  io::WriteFileAtomically(folder_ / "text.txt", "a few words of text");
  const Outcome outcome =
      Run({"perplexity", model_, "--file", Path("text.txt"), "--context", "64", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const io::Json json = io::Json::parse(outcome.out);
  EXPECT_EQ(json["tokens"], 18);  // bytes; the first one has nothing before it
  EXPECT_EQ(json["bytes"], 19);
  EXPECT_EQ(json["words"], 5);
  EXPECT_NEAR(std::log(json["word_perplexity"].get<double>()) * 5, json["nll_sum"].get<double>(), 1e-9);
  EXPECT_NEAR(json["bits_per_byte"].get<double>() * 19 * std::log(2.0), json["nll_sum"].get<double>(), 1e-9);
}

}  // namespace
}  // namespace forge
