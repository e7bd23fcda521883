// SPDX-License-Identifier: Apache-2.0
#include "eval/task_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/error.h"
#include "eval/task_data.h"
#include "eval/task_items.h"
#include "io/atomic_file.h"
#include "io/config_file.h"

namespace forge::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kChoice[] = R"(
task: colors
output_type: multiple_choice
training_split: train
test_split: test
doc_to_text: "Q: {{question}}\nA:"
doc_to_target: answer
doc_to_choice: "{{options}}"
metric_list:
  - metric: acc
  - metric: acc_norm
)";

TaskFile Parse(const std::string& yaml) { return ParseTask(io::ParseYaml(yaml, "t.yaml"), "t.yaml"); }

std::string ErrorOf(const std::string& yaml) {
  try {
    Parse(yaml);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TaskFile, ReadsTheKeysOfTheHarness) {
  const TaskFile task = Parse(kChoice);
  EXPECT_EQ(task.name, "colors");
  EXPECT_EQ(task.output_type, OutputType::kMultipleChoice);
  EXPECT_EQ(task.EvaluationSplit(), "test");
  EXPECT_EQ(task.FewShotSplit(), "train");
  EXPECT_EQ(task.target_delimiter, " ");
  EXPECT_EQ(task.metrics.size(), 2U);
  EXPECT_EQ(task.data_files.at("test").at(0).path, "colors/test.jsonl");
}

TEST(TaskFile, RefusesWhatItDoesNotKnowByName) {
  const std::string choice = kChoice;
  EXPECT_THAT(ErrorOf(choice + "doc_to_txt: a\n"), HasSubstr("did you mean doc_to_text?"));
  EXPECT_THAT(ErrorOf(choice + "process_docs: f\n"), HasSubstr("Python code"));
  EXPECT_THAT(ErrorOf(choice + "process_results: !function utils.f\n"), HasSubstr("!function"));
  EXPECT_THAT(ErrorOf(choice + "num_fewshot: many\n"), HasSubstr("no number"));
  EXPECT_THAT(ErrorOf(choice + "num_fewshot: -1\n"), HasSubstr("num_fewshot"));
  EXPECT_THAT(ErrorOf(choice + "num_fewshot: -1.5e26\n"), HasSubstr("no whole number"));
  EXPECT_THAT(ErrorOf(choice + "num_fewshot: 2.5\n"), HasSubstr("no whole number"));
  EXPECT_THAT(ErrorOf(choice + "generation_kwargs: {max_gen_toks: 0}\n"), HasSubstr("from 1 to"));
  EXPECT_THAT(ErrorOf(choice + "generation_kwargs: {max_new_tokens: 1e99}\n"), HasSubstr("max_new_tokens"));
  EXPECT_THAT(ErrorOf(choice + "generation_kwargs: {do_sample: true, temperature: -1}\n"),
              HasSubstr("temperature"));
  EXPECT_THAT(ErrorOf(choice + "filter_list: [{filter: [{function: take_first, group_select: 3e9}]}]\n"),
              HasSubstr("group_select"));
  EXPECT_THAT(ErrorOf(choice + "fewshot_config: {sampler: best}\n"), HasSubstr("default, first_n"));
  EXPECT_THAT(ErrorOf(choice + "repeats: 3\n"), HasSubstr("repeats"));
  EXPECT_THAT(ErrorOf(choice + "program: x\n"), HasSubstr("program"));
  EXPECT_THAT(ErrorOf(choice + "data_files: {test: {path: a, feilds: {}}}\n"),
              HasSubstr("data_files.fields?"));
  EXPECT_THAT(ErrorOf("task: a\noutput_type: guess\ntest_split: t\n"), HasSubstr("guess is not one of"));
  EXPECT_THAT(
      ErrorOf("task: a\ntest_split: t\ndoc_to_text: a\ndoc_to_target: b\nmetric_list: [{metric: acc}]\n"),
      HasSubstr("exact_match"));
  EXPECT_THAT(ErrorOf("task: a\ndoc_to_text: a\n"), HasSubstr("no split"));
  EXPECT_THAT(ErrorOf("task: a\ntest_split: t\ndoc_to_text: '{{ x'\ndoc_to_target: b\n"),
              HasSubstr("doc_to_text of a"));
  EXPECT_THAT(
      ErrorOf("task: a\ntest_split: t\ndoc_to_text: x\ndoc_to_target: b\nfilter_list: [{name: x, filter: "
              "[{function: regex, regex_pattern: '('}]}]\n"),
      HasSubstr("filter_list of a"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr("not an object"));
}

TEST(BuiltInTasks, AreAllThereAndReadable) {
  const std::vector<std::string> names = BuiltInTaskNames();
  EXPECT_THAT(names,
              ElementsAre("arc_easy", "boolq", "commonsense_qa", "gsm8k", "hellaswag", "humaneval", "lambada",
                          "math", "mathqa", "mawps", "mbpp", "openbookqa", "piqa", "svamp", "wikitext"));
  for (const std::string& name : names) EXPECT_EQ(BuiltInTask(name).name, name);
  try {
    BuiltInTask("arc_esay");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean arc_easy?"));
  }
}

/// A data folder with the given files, gone with the test.
class TaskItemsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("forge-task-items-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    io::WriteFileAtomically(folder_ / name, text);
  }
  TaskData Load(const TaskFile& task, const std::string& split) const {
    return LoadTaskData(task, split, {folder_});
  }
  std::vector<TaskItem> Items(const TaskFile& task, const ItemOptions& options = {}) const {
    std::optional<TaskData> examples;
    if (options.num_fewshot > 0 && task.fewshot_samples.empty()) examples = Load(task, task.FewShotSplit());
    return MakeTaskItems(task, Load(task, task.EvaluationSplit()), examples, options);
  }
  std::filesystem::path folder_;
};

constexpr char kTwoColors[] =
    "{\"question\": \"sky\", \"options\": [\"red\", \"blue\"], \"answer\": 1}\n\n"
    "{\"question\": \"it's \\\"x\\\"\", \"options\": [\"a'b\", \"c\"], \"answer\": \"a'b\"}\r\n";

TEST_F(TaskItemsTest, AskTheQuestionWithItsChoices) {
  Write("colors/test.jsonl", kTwoColors);
  const std::vector<TaskItem> items = Items(Parse(kChoice));
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0].context, "Q: sky\nA:");
  EXPECT_THAT(items[0].choices, ElementsAre("red", "blue"));
  EXPECT_EQ(items[0].gold, 1);
  EXPECT_THAT(items[1].choices, ElementsAre("a'b", "c"));  // through Python's quotes and back
  EXPECT_EQ(items[1].gold, 0);
  EXPECT_EQ(Items(Parse(kChoice), {.limit = 1}).size(), 1U);
}

TEST_F(TaskItemsTest, PutExamplesInFrontThatDependOnSeedAndItemAlone) {
  Write("colors/test.jsonl", kTwoColors);
  std::string train;
  for (int i = 0; i < 20; ++i)
    train += "{\"question\": \"q" + std::to_string(i) + "\", \"options\": [\"x\", \"y\"], \"answer\": 0}\n";
  Write("colors/train.jsonl", train);
  TaskFile task = Parse(kChoice + std::string("description: Colors\n"));
  const std::vector<TaskItem> items = Items(task, {.num_fewshot = 2, .seed = 7});
  EXPECT_THAT(items[0].context,
              ::testing::MatchesRegex("Colors\n\nQ: q[0-9]+\nA: x\n\nQ: q[0-9]+\nA: x\n\nQ: sky\nA:"));
  EXPECT_EQ(items[0].context, Items(task, {.limit = 1, .num_fewshot = 2, .seed = 7})[0].context);
  EXPECT_NE(items[0].context, Items(task, {.num_fewshot = 2, .seed = 8})[0].context);
  EXPECT_NE(PromptHash(items), PromptHash(Items(task, {.num_fewshot = 2, .seed = 8})));
  EXPECT_EQ(PromptHash(items), PromptHash(Items(task, {.num_fewshot = 2, .seed = 7})));
  task.fewshot_first = true;
  EXPECT_EQ(Items(task, {.num_fewshot = 2})[1].context,
            "Colors\n\nQ: q0\nA: x\n\nQ: q1\nA: x\n\nQ: it's \"x\"\nA:");
  EXPECT_THROW(Items(task, {.num_fewshot = 21}), Error);
}

TEST_F(TaskItemsTest, NeverTakeTheQuestionItselfAsItsExample) {
  Write("colors/test.jsonl", kTwoColors);
  TaskFile task = Parse(kChoice);
  task.fewshot_split = "test";
  const std::vector<TaskItem> items = Items(task, {.num_fewshot = 1});
  EXPECT_EQ(items[0].context, "Q: it's \"x\"\nA: a'b\n\nQ: sky\nA:");
  EXPECT_EQ(items[1].context, "Q: sky\nA: blue\n\nQ: it's \"x\"\nA:");
}

TEST_F(TaskItemsTest, ComeFromTheFirstFileThatIsThereWithItsOwnFields) {
  const TaskFile task = BuiltInTask("arc_easy");
  Write("choice/arc_easy_test.jsonl",
        "{\"query\": \"Question: Why?\", \"choices\": [\"a\", \"b\"], \"gold\": 1}\n");
  std::vector<TaskItem> items = Items(task);
  EXPECT_EQ(items[0].context, "Question: Why?\nAnswer:");
  EXPECT_THAT(items[0].choices, ElementsAre("a", "b"));
  EXPECT_EQ(items[0].gold, 1);
  Write("arc_easy/test.jsonl",
        "{\"question\": \"How?\", \"choices\": {\"text\": [\"c\", \"d\"], \"label\": [\"A\", \"B\"]}, "
        "\"answerKey\": \"A\"}\n");
  items = Items(task);
  EXPECT_EQ(items[0].context, "Question: How?\nAnswer:");
  EXPECT_EQ(items[0].gold, 0);
}

TEST_F(TaskItemsTest, CleanHellaSwagInBothOfItsForms) {
  const TaskFile task = BuiltInTask("hellaswag");
  Write("hellaswag/validation.jsonl",
        "{\"activity_label\": \"Roof\", \"ctx_a\": \"A man sits.\", \"ctx_b\": \"he\", \"endings\": [\"is "
        "[x] up.\", "
        "\"goes  on [title] off.\"], \"label\": \"1\"}\n");
  const std::vector<TaskItem> items = Items(task);
  EXPECT_EQ(items[0].context, "Roof: A man sits. He");
  EXPECT_THAT(items[0].choices, ElementsAre("is up.", "goes on. off."));
  EXPECT_EQ(items[0].gold, 1);
}

TEST_F(TaskItemsTest, LeaveOutWhatTheTaskDoesNotKeep) {
  std::string lines;
  for (int id = 1; id <= 12; ++id)
    lines +=
        R"({"text": "t", "code": "c", "test_setup_code": "", "test_list": ["a", "b", "c"], "task_id": )" +
        std::to_string(id) + "}\n";
  Write("code/mbpp.jsonl", lines);
  const TaskFile task = BuiltInTask("mbpp");
  EXPECT_EQ(Load(task, "test").documents.size(), 2U);    // 11 and 12
  EXPECT_EQ(Load(task, "prompt").documents.size(), 3U);  // 2, 3 and 4
  EXPECT_THAT(Items(task, {.num_fewshot = 3})[0].context, HasSubstr("[BEGIN]\nc\n[DONE]\n\n"));
}

TEST_F(TaskItemsTest, CutATextIntoItsDocuments) {
  const TaskFile task = Parse(
      "task: pages\noutput_type: loglikelihood_rolling\ntest_split: test\ndoc_to_target: page\n"
      "data_files: {test: {path: all.txt, split_before: '(?m)^= .* =$'}}\n");
  Write("all.txt", "= one =\nx\n= two =\ny\n");
  const std::vector<TaskItem> items = Items(task);
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[1].targets[0], "= two =\ny\n");
}

TEST_F(TaskItemsTest, JoinTheLinesOfWikiTextToArticles) {
  Write("wikitext/test.jsonl",
        R"({"text": ""}
{"text": " = One = \n"}
{"text": ""}
{"text": " Text , and more . \n"}
{"text": " = = Part = = \n"}
{"text": ""}
{"text": " = Two = \n"}
{"text": " Text \n"}
)");
  const std::vector<TaskItem> items = Items(BuiltInTask("wikitext"));
  ASSERT_EQ(items.size(), 2U);
  EXPECT_THAT(items[0].targets[0], HasSubstr("= One ="));
  EXPECT_THAT(items[0].targets[0], HasSubstr("== Part =="));
  EXPECT_THAT(items[0].targets[0], HasSubstr("Text, and more."));
  EXPECT_THAT(items[1].targets[0], HasSubstr("= Two ="));
}

TEST_F(TaskItemsTest, SayWhatIsMissingAndHowToGetIt) {
  const auto error_of = [&](const std::function<void()>& work) -> std::string {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const TaskFile task = Parse(kChoice);
  EXPECT_THAT(error_of([&] { Load(task, "test"); }), HasSubstr("forge data pull colors"));
  Write("colors/train.jsonl", kTwoColors);
  EXPECT_THAT(error_of([&] { Load(task, "test"); }), HasSubstr("--split train"));
  EXPECT_THAT(error_of([&] { Load(task, "dev"); }), HasSubstr("test, train"));
  Write("colors/test.jsonl", "{\"question\": 1}\n");
  EXPECT_THAT(error_of([&] { Items(task); }), HasSubstr("document 1 of"));
  EXPECT_THAT(error_of([&] { Items(task); }), HasSubstr("'options' is undefined"));
  Write("colors/test.jsonl", "{\"question\": 1}\nnot json\n");
  EXPECT_THAT(error_of([&] { Load(task, "test"); }), HasSubstr("line 2 of"));
  Write("colors/test.jsonl", "\n");
  EXPECT_THAT(error_of([&] { Load(task, "test"); }), HasSubstr("no document"));
}

TEST_F(TaskItemsTest, KeepAnswersThatLookLikeNumbersOrListsAsTexts) {
  const TaskFile task = Parse("task: t\ntest_split: test\ndoc_to_text: q\ndoc_to_target: '{{a}}'\n");
  Write(
      "t/test.jsonl",
      "{\"q\": \"x\", \"a\": \"[1,2]\"}\n{\"q\": \"x\", \"a\": 7}\n{\"q\": \"x\", \"a\": [\"b\", \"c\"]}\n");
  const std::vector<TaskItem> items = Items(task);
  EXPECT_THAT(items[0].targets, ElementsAre("[1,2]"));
  EXPECT_THAT(items[1].targets, ElementsAre("7"));
  EXPECT_THAT(items[2].targets, ElementsAre("b", "c"));
}

}  // namespace
}  // namespace forge::eval
