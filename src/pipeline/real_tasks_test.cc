// SPDX-License-Identifier: Apache-2.0
#include "pipeline/real_tasks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <set>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "pipeline/reason_questions.h"
#include "pipeline/tasks.h"
#include "text/byte_tokenizer.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

class RealTasks : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("forge-real-tasks-test-" + std::to_string(getpid()));
    for (const char* part : {"eval/gsm8k", "eval/code", "text"}) fs::create_directories(folder_ / part);
    std::string math, code, stories;
    for (int i = 0; i < kLines; ++i) {
      const std::string number = std::to_string(i);
      math += io::Json{{"question", "What is " + number + " + 1?"},
                       {"answer", Repeat("add one, ", 100) + "#### " + number}}
                  .dump() +
              "\n";
      code += io::Json{{"text", "Return " + number},
                       {"code", "def f():\r\n  return " + number + "\r\n"},
                       {"test_list", {"assert f() == " + number}},
                       {"task_id", i}}
                  .dump() +
              "\n";
      stories +=
          "Once there was cat " + number + ". " + Repeat("It ran far away. ", 60) + "\n<|endoftext|>\n";
    }
    Write("eval/gsm8k/train.jsonl", math);
    Write("eval/code/mbpp.jsonl", code);
    Write("text/tinystories_train_2MiB.txt", stories + "A story that is cut o");
  }
  void TearDown() override { fs::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) const {
    io::WriteFileAtomically(folder_ / name, text);
  }
  static std::string Repeat(const std::string& text, int count) {
    std::string result;
    for (int i = 0; i < count; ++i) result += text;
    return result;
  }
  std::map<std::string, std::vector<eval::Item>> ByDomain() const {
    std::map<std::string, std::vector<eval::Item>> domains;
    for (const NamedItem& named : ReadRealItems(folder_, RealPart::kHeldOut))
      domains[named.domain].push_back(named.item);
    return domains;
  }
  std::string ErrorText() const {
    try {
      ReadRealItems(folder_, RealPart::kHeldOut);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  static constexpr int kLines = 300;
  fs::path folder_;
};

TEST_F(RealTasks, GiveTheThreeDomainsTheFormOfTheirTraining) {
  const auto domains = ByDomain();
  ASSERT_EQ(domains.size(), 3u);
  // 300 lines: the tails begin at 243 (0.81), 216 (0.72) and 240 (0.8).
  EXPECT_EQ(domains.at("math").size(), 57u);
  EXPECT_EQ(domains.at("code").size(), 84u);
  EXPECT_EQ(domains.at("stories").size(), 60u);
  EXPECT_EQ(domains.at("math")[0].prompt, "Question: What is 243 + 1?\nAnswer:");
  EXPECT_TRUE(domains.at("math")[0].completion.starts_with(" add one, add"));
  EXPECT_EQ(domains.at("code")[0].prompt, "\"\"\"\nReturn 216\nassert f() == 216\n\"\"\"\n");
  EXPECT_EQ(domains.at("code")[0].completion, "def f():\n  return 216\n");
  EXPECT_EQ(domains.at("stories")[0].prompt, "Once there was cat 240.");
  EXPECT_TRUE(domains.at("stories")[0].completion.starts_with(" It ran far"));
}

TEST_F(RealTasks, CutsLongTextsAtAWord) {
  for (const auto& [name, items] : ByDomain())
    for (const eval::Item& item : items) {
      EXPECT_LE(item.prompt.size() + item.completion.size(), 600u) << name;
      if (name != "math") continue;
      EXPECT_TRUE(item.completion.ends_with("one,") || item.completion.ends_with("add")) << item.completion;
    }
}

TEST_F(RealTasks, SplitIntoDisjointParts) {
  const std::vector<eval::DomainItems> domains =
      LoadTasks("data:" + folder_.string(), {.search = 8, .selection = 8, .test = 8});
  ASSERT_EQ(domains.size(), 3u);
  for (const eval::DomainItems& domain : domains) {
    EXPECT_EQ(domain.metric, eval::Metric::kNegativeLogLikelihood);
    std::set<std::string> prompts;
    for (const auto* split : {&domain.search, &domain.selection, &domain.test})
      for (const eval::Item& item : *split) prompts.insert(item.prompt);
    EXPECT_EQ(prompts.size(), 24u) << domain.name;
  }
}

TEST_F(RealTasks, TrainOnWhatIsHeldOutOfNoSplit) {
  std::set<std::string> held_out;
  for (const auto& [name, items] : ByDomain())
    for (const eval::Item& item : items) held_out.insert(item.prompt);
  const auto training = LoadTrainingItems("data:" + folder_.string());
  EXPECT_EQ(training.at("math").size(), 243u);
  EXPECT_EQ(training.at("code").size(), 216u);
  EXPECT_EQ(training.at("stories").size(), 240u);
  for (const auto& [name, items] : training)
    for (const eval::Item& item : items) EXPECT_FALSE(held_out.contains(item.prompt)) << item.prompt;
}

TEST_F(RealTasks, TrainOnTheSearchItemsOfAFile) {
  std::string lines;
  for (int i = 0; i < 100; ++i)
    lines +=
        io::Json{{"domain", "d"}, {"prompt", "p" + std::to_string(i)}, {"completion", "c"}}.dump() + "\n";
  Write("items.jsonl", lines);
  const std::string spec = (folder_ / "items.jsonl").string();
  const auto training = LoadTrainingItems(spec);
  std::set<std::string> prompts;
  for (const eval::Item& item : training.at("d")) prompts.insert(item.prompt);
  EXPECT_GT(prompts.size(), 15u);
  const std::vector<eval::DomainItems> domains = LoadTasks(spec, {});
  for (const eval::Item& item : domains[0].search) EXPECT_TRUE(prompts.contains(item.prompt));
  for (const auto* split : {&domains[0].selection, &domains[0].test})
    for (const eval::Item& item : *split) EXPECT_FALSE(prompts.contains(item.prompt));
}

TEST_F(RealTasks, AskTheQuestionsOfTheTestItemsWithTheirAnswers) {
  ReasonConfig config;
  config.eval_dataset = "data:" + folder_.string();
  config.eval_samples = 12;
  const QuestionSet set = LoadQuestions(config, text::Tokenizer(text::MakeByteTokenizer()));
  ASSERT_EQ(set.test.size(), 12u);
  EXPECT_TRUE(set.training.empty());
  for (const reason::Question& question : set.test) {
    EXPECT_EQ(SplitOf(question.prompt), eval::Split::kTest);
    EXPECT_EQ(question.prompt, "Question: What is " + question.answer + " + 1?\nAnswer:");
    EXPECT_GE(std::stoi(question.answer), 243);
  }
  config.eval_samples = 50;  // 57 are held out, fewer are test items
  EXPECT_THROW(LoadQuestions(config, text::Tokenizer(text::MakeByteTokenizer())), Error);
}

TEST_F(RealTasks, SaysWhichFileOrLineIsWrong) {
  Write("eval/code/mbpp.jsonl", "{\"text\": \"only this\"}\n");
  EXPECT_NE(ErrorText().find("line 1 of"), std::string::npos) << ErrorText();
  EXPECT_NE(ErrorText().find("\"code\""), std::string::npos) << ErrorText();
  fs::remove(folder_ / "eval/code/mbpp.jsonl");
  EXPECT_NE(ErrorText().find("mbpp.jsonl"), std::string::npos) << ErrorText();
  SetUp();
  Write("text/tinystories_train_2MiB.txt", "no marks here");
  EXPECT_NE(ErrorText().find("<|endoftext|>"), std::string::npos) << ErrorText();
}

}  // namespace
}  // namespace forge::pipeline
