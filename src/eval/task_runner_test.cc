// SPDX-License-Identifier: Apache-2.0
#include "eval/task_runner.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/error.h"
#include "eval/multiple_choice.h"
#include "eval/result_cache.h"
#include "eval/testing_bigram_model.h"
#include "eval/text_generation.h"
#include "io/atomic_file.h"
#include "io/config_file.h"

namespace forge::eval {
namespace {

using ::testing::ElementsAre;

TaskFile Parse(const std::string& yaml) { return ParseTask(io::ParseYaml(yaml, "t.yaml"), "t.yaml"); }

/// A model over bytes, and documents given as JSON.
class TaskRunner : public ::testing::Test {
 protected:
  TaskResult Run(const TaskFile& task, const std::vector<std::string>& documents,
                 const RunOptions& options = {}) {
    TaskData data{.split = "test", .path = "x.jsonl", .sha256 = "0", .documents = {}};
    for (const std::string& document : documents) data.documents.push_back(io::OrderedJson::parse(document));
    const std::vector<TaskItem> items = MakeTaskItems(task, data, std::nullopt, {});
    return RunTask(session_, task, data, items, options);
  }
  testing::BigramModel model_;
  text::Tokenizer tokenizer_{text::MakeByteTokenizer()};
  ModelSession session_{
      .model = model_, .tokenizer = tokenizer_, .stop_token_ids = {text::kByteEndOfText}, .chat = {}};
};

// Sums -3, -4, -5 over 1, 4 and 10 characters: the first by sum; by length -3, -1, -0.5, the last.
TEST(MultipleChoice, PredictsBySumAndByLength) {
  const std::vector<PairScore> scores{{.log_likelihood = -3}, {.log_likelihood = -4}, {.log_likelihood = -5}};
  ChoicePrediction prediction = Predict({"a", "bbbb", "cccccccccc"}, scores);
  EXPECT_EQ(prediction.best, 0);
  EXPECT_EQ(prediction.best_norm, 2);
  // Two characters of three bytes each: -5 / 2 against -4 / 4 by characters, -5 / 6 against -4 / 4 by bytes.
  prediction = Predict({"a", "bbbb", "€€"}, scores);
  EXPECT_EQ(prediction.best_norm, 1);
  EXPECT_EQ(prediction.best_bytes, 2);
  const std::vector<PairScore> tie{{.log_likelihood = -2}, {.log_likelihood = -2}};
  EXPECT_EQ(Predict({"a", "b"}, tie).best, 0);  // the first one
}

TEST_F(TaskRunner, CutsContextAndContinuationAsTheHarnessDoes) {
  const TokenPair plain = EncodePair(session_, "ab", " c");
  EXPECT_EQ(tokenizer_.Decode(plain.context), "ab");
  EXPECT_EQ(tokenizer_.Decode(plain.continuation), " c");
  const TokenPair spaces = EncodePair(session_, "ab \n", "c");  // white space moves over
  EXPECT_EQ(tokenizer_.Decode(spaces.context), "ab");
  EXPECT_EQ(tokenizer_.Decode(spaces.continuation), " \nc");
  const TokenPair empty = EncodePair(session_, "", "c");
  EXPECT_THAT(empty.context, ElementsAre(text::kByteEndOfText));
  EXPECT_THROW(EncodePair(session_, "ab", ""), Error);
}

TEST_F(TaskRunner, AsksInTheChatTemplateWithoutTheDelimiter) {
  session_.chat = [&](const std::string& context) { return tokenizer_.Encode("<" + context + ">\n"); };
  const TaskItem item{.context = "q", .delimiter = " ", .choices = {"a", "b"}, .targets = {}};
  const std::vector<TokenPair> pairs = ChoicePairs(session_, item);
  EXPECT_EQ(tokenizer_.Decode(pairs[1].context), "<q>");
  EXPECT_EQ(tokenizer_.Decode(pairs[1].continuation), "\nb");
}

TEST_F(TaskRunner, CutsTheBeginningOfWhatDoesNotFit) {
  testing::BigramModel small(4);
  small.Set('a', 'b', 3);
  const ModelSession session{.model = small, .tokenizer = tokenizer_, .stop_token_ids = {}, .chat = {}};
  const std::vector<TokenPair> pairs{EncodePair(session, "xxxxxxa", "b"), EncodePair(session, "xxa", "bc")};
  std::size_t tokens = 0;
  const std::vector<PairScore> scores = ScorePairs(session, pairs, tokens);
  EXPECT_TRUE(scores[0].is_cut);
  EXPECT_NEAR(scores[0].log_likelihood, small.LogProb('a', 'b'), 1e-9);
  EXPECT_TRUE(scores[0].is_greedy);
  EXPECT_FALSE(scores[1].is_cut);  // five tokens in four positions: the last one needs none
  EXPECT_NEAR(scores[1].log_likelihood, small.LogProb('a', 'b') + small.LogProb('b', 'c'), 1e-9);
  EXPECT_EQ(tokens, 10U);
}

TEST_F(TaskRunner, ScoresChoicesByLikelihood) {
  model_.Set(' ', 'b', 2);
  model_.Set(' ', 'r', 1);
  const TaskFile task = Parse(
      "task: t\noutput_type: multiple_choice\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n"
      "doc_to_choice: c\nmetric_list: [{metric: acc}, {metric: acc_norm}]\n");
  std::vector<std::string> documents;
  for (int i = 0; i < 40; ++i)
    documents.push_back(i % 4 == 0 ? R"({"q": "sky", "c": ["r", "b"], "a": 0})"
                                   : R"({"q": "sky", "c": ["r", "b"], "a": 1})");
  const TaskResult result = Run(task, documents);
  ASSERT_EQ(result.metrics.size(), 2U);
  EXPECT_EQ(result.n, 40);
  EXPECT_EQ(result.metrics[0].metric, "acc");
  EXPECT_EQ(result.metrics[0].value, 0.75);
  EXPECT_NEAR(result.metrics[0].interval->low, WilsonInterval(30, 40).low, 1e-12);
  ASSERT_EQ(result.items.size(), 40U);
  EXPECT_NEAR(result.items[5]["log_likelihoods"][1], model_.LogProb('y', ' ') + model_.LogProb(' ', 'b'),
              1e-9);
  EXPECT_EQ(result.items[5]["index"], 5);
  EXPECT_EQ(result.items[4]["acc"], false);
  EXPECT_EQ(model_.calls, 1);  // all in one call
}

TEST_F(TaskRunner, ScoresTargetsWithPerplexityAndGreedyMatch) {
  model_.Set(' ', 'b', 3);
  const TaskFile task = Parse(
      "task: t\noutput_type: loglikelihood\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n"
      "metric_list: [{metric: perplexity}, {metric: acc}]\n");
  const TaskResult result = Run(task, {R"({"q": "x", "a": " b"})", R"({"q": " ", "a": "b"})"});
  const double first = model_.LogProb('x', ' ') + model_.LogProb(' ', 'b');
  // White space alone goes to the continuation, behind the end token.
  const double second = model_.LogProb('x', ' ') + model_.LogProb(' ', 'b');
  EXPECT_NEAR(result.metrics[0].value, std::exp(-(first + second) / 2), 1e-6);
  EXPECT_EQ(result.metrics[1].value, 0);  // the space is not the likeliest byte
}

TEST_F(TaskRunner, ScoresDocumentsByWordByteAndToken) {
  const TaskFile task = Parse(
      "task: t\noutput_type: loglikelihood_rolling\ntest_split: test\ndoc_to_target: "
      "'{{p.strip()}}'\ncount_in: p\n");
  const TaskResult result = Run(task, {R"({"p": "ab cd "})", R"({"p": "abc"})"});
  const double each = std::log(static_cast<double>(text::kByteVocabSize));
  ASSERT_EQ(result.metrics.size(), 4U);
  EXPECT_EQ(result.metrics[0].metric, "word_perplexity");
  EXPECT_NEAR(std::log(result.metrics[0].value), 8 * each / 4, 1e-9);  // 5 + 3 tokens; 3 + 1 words
  EXPECT_NEAR(std::log(result.metrics[1].value), 8 * each / 9, 1e-9);  // bytes
  EXPECT_NEAR(result.metrics[2].value, 8 * each / 9 / std::log(2.0), 1e-9);
  EXPECT_NEAR(result.metrics[3].value, text::kByteVocabSize, 1e-6);
}

TEST_F(TaskRunner, ExtractsWhatItWroteStrictlyAndLeniently) {
  model_.Teach("?#=17\n");
  model_.Teach("! ab5;");
  const TaskFile task = Parse(
      "task: t\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\ngeneration_kwargs: {until: [\"\\n\", "
      "';'], "
      "max_gen_toks: 20}\nfilter_list:\n  - {name: strict, filter: [{function: regex, regex_pattern: '#="
      "([0-9]+)'}]}\n"
      "  - {name: lenient, filter: [{function: regex, regex_pattern: '[0-9]', group_select: -1}]}\n");
  const TaskResult result =
      Run(task, {R"({"q": "x?", "a": "17"})", R"({"q": "y!", "a": "5"})", R"({"q": "z?", "a": "7"})"});
  ASSERT_EQ(result.metrics.size(), 2U);
  EXPECT_EQ(result.items[0]["output"], "#=17");
  EXPECT_EQ(result.metrics[0].filter, "strict");
  EXPECT_NEAR(result.metrics[0].value, 1.0 / 3, 1e-12);
  EXPECT_NEAR(*result.metrics[0].unparsable, 1.0 / 3, 1e-12);
  EXPECT_NEAR(result.metrics[1].value, 2.0 / 3, 1e-12);  // the last digit of 17 is 7
  EXPECT_EQ(*result.metrics[1].unparsable, 0);
}

TEST_F(TaskRunner, StopsWritingAtTheFirstEndText) {
  model_.Teach("?abcdefgh");
  std::size_t tokens = 0;
  const std::vector<std::string> contexts{"?"};
  const auto written =
      WriteTexts(session_, contexts, {.until = {"fg", "de"}, .max_new_tokens = 50}, 1, tokens);
  EXPECT_EQ(written[0].text, "abc");
  EXPECT_EQ(written[0].tokens, 5);  // not one more than it takes to see the end
  EXPECT_TRUE(written[0].is_ended);
  const auto limited = WriteTexts(session_, contexts, {.until = {"zz"}, .max_new_tokens = 3}, 1, tokens);
  EXPECT_EQ(limited[0].text, "abc");
  EXPECT_FALSE(limited[0].is_ended);
}

TEST_F(TaskRunner, RunsProgramsOnlyInTheSandbox) {
  std::unique_ptr<CodeSandbox> sandbox;
  try {
    sandbox = std::make_unique<CodeSandbox>();
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  model_.Teach("?x=1\n");
  const TaskFile task = Parse(
      "task: t\ntest_split: test\ndoc_to_text: q\ndoc_to_target: ''\ngeneration_kwargs: {until: [\"\\n\"]}\n"
      "program: \"{{completion}}\\n{{test}}\"\nmetric_list: [{metric: pass@1}]\n");
  const std::vector<std::string> documents{R"({"q": "a?", "test": "assert x == 1"})",
                                           R"({"q": "b?", "test": "assert x == 2"})"};
  const TaskResult result = Run(task, documents, {.sandbox = sandbox.get()});
  EXPECT_EQ(result.metrics[0].metric, "pass@1");
  EXPECT_EQ(result.metrics[0].value, 0.5);
  EXPECT_EQ(result.items[1]["program"]["status"], 1);
}

TEST_F(TaskRunner, StopsBetweenBatchesWhenAsked) {
  StopToken stop;
  stop.RequestStop();
  session_.stop = &stop;
  const TaskFile task = Parse("task: t\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n");
  std::vector<std::string> documents(40, R"({"q": "x", "a": "y"})");
  try {
    Run(task, documents);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
  }
}

TEST_F(TaskRunner, KeepsResultsBySettings) {
  const auto folder = std::filesystem::temp_directory_path() / ("forge-cache-" + std::to_string(getpid()));
  const struct Removal {
    std::filesystem::path path;
    ~Removal() { std::filesystem::remove_all(path); }
  } removal{folder};
  const ResultCache cache(folder);
  const TaskFile task = Parse("task: t\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n");
  const TaskResult result = Run(task, {R"({"q": "x", "a": "y"})"});
  const io::Json settings{{"model", "m"}, {"limit", 1}}, others{{"model", "m"}, {"limit", 2}};
  EXPECT_FALSE(cache.Find("t", settings));
  cache.Keep(settings, result);
  EXPECT_EQ(cache.Find("t", settings)->ToJson(), result.ToJson());
  EXPECT_FALSE(cache.Find("t", others));
  EXPECT_EQ(io::ReadFile(cache.FolderOf("t", settings) / "items.jsonl"), result.ItemLines());
  cache.Keep(settings, result);  // again: replaced
  io::WriteFileAtomically(cache.FolderOf("t", settings) / "result.json", "{\"key\":");
  EXPECT_FALSE(cache.Find("t", settings));  // damaged: measured again
}

}  // namespace
}  // namespace forge::eval
