// SPDX-License-Identifier: Apache-2.0
#include "pipeline/reason_questions.h"

#include <fmt/format.h>

#include "base/error.h"
#include "eval/starter_items.h"
#include "io/json_lines.h"
#include "pipeline/real_tasks.h"
#include "pipeline/tasks.h"
#include "text/byte_tokenizer.h"

namespace forge::pipeline {
namespace {

using eval::Split;
using eval::StarterDomain;

constexpr std::uint64_t kQuestionSeed = 2025;
constexpr int kTrainingQuestions[] = {60, 600,
                                      5000};  // of one, two and three operations; there are 70, 700, 7000
constexpr int kSelectionQuestions = 200;

std::vector<reason::Question> StarterQuestions(Split split, int count, int operations) {
  std::vector<reason::Question> questions;
  for (const eval::Item& item :
       eval::StarterItems(StarterDomain::kDirect, split, kQuestionSeed, count, eval::Exactly(operations)))
    questions.push_back({item.prompt.substr(0, item.prompt.size() - 1), item.completion.substr(0, 1)});
  return questions;
}

QuestionSet StarterSet(int count) {
  QuestionSet set{.name = "starter",
                  .format = {.opening = {text::kByteStartOfThought},
                             .closing = {text::kByteEndOfThought},
                             .suffix = "=",
                             .thought_length = 3,
                             .answer_length = 2}};
  for (int operations = 1; operations <= 3; ++operations)
    set.training.push_back(StarterQuestions(Split::kTrain, kTrainingQuestions[operations - 1], operations));
  set.selection = StarterQuestions(Split::kSelection, kSelectionQuestions, 3);
  set.test = StarterQuestions(Split::kTest, count, 3);
  set.format.banned = {text::kByteEndOfText, text::kByteStartOfThought, text::kByteEndOfThought};
  set.format.banned_in_thought = {'\n'};
  return set;
}

/// The number after the mark that ends a worked solution of GSM8K.
std::string FinalAnswer(std::string solution) {
  const std::size_t mark = solution.rfind("#### ");
  if (mark != std::string::npos) solution = solution.substr(mark + 5);
  std::erase(solution, ',');
  return solution;
}

std::vector<reason::Question> FirstQuestionsOf(const std::string& path, int count) {
  std::vector<reason::Question> questions;
  io::JsonLines lines(path, "{\"question\": .., \"answer\": ..}, as in the JSONL file of GSM8K");
  while (static_cast<int>(questions.size()) < count && lines.Next())
    questions.push_back(
        {"Question: " + lines.FilledText("question") + "\nAnswer:", FinalAnswer(lines.FilledText("answer"))});
  return questions;
}

std::vector<reason::Question> TestQuestionsOf(const std::string& folder, int count) {
  std::vector<reason::Question> questions;
  for (const eval::Item& item : ReadRealQuestions(folder))
    if (static_cast<int>(questions.size()) < count && SplitOf(item.prompt) == Split::kTest)
      questions.push_back({item.prompt, FinalAnswer(item.completion)});
  return questions;
}

QuestionSet Gsm8kSet(const std::string& source, std::vector<reason::Question> questions, int count,
                     const text::Tokenizer& tokenizer) {
  QuestionSet set{.name = "gsm8k",
                  .format = {.opening = tokenizer.Encode("\nLet's think step by step."),
                             .closing = {},
                             .suffix = "\nThe answer is",
                             .thought_length = 48,
                             .answer_length = 12}};
  set.test = std::move(questions);
  for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    if (const auto id = tokenizer.IdOf(special)) set.format.banned.push_back(*id);
  if (static_cast<int>(set.test.size()) < count)
    throw Error({.what = fmt::format("{} has only {} questions", source, set.test.size()),
                 .why = fmt::format("the A/B test asks for {}", count),
                 .fix = "lower --eval-samples or --ab-rounds"});
  return set;
}

}  // namespace

QuestionSet LoadQuestions(const ReasonConfig& config, const text::Tokenizer& tokenizer) {
  const std::string& dataset = config.eval_dataset;
  const int count = config.eval_samples * config.ab_rounds;
  if (dataset == "starter") {
    if (tokenizer.IdOf("<|startofthought|>") != text::kByteStartOfThought)
      throw Error(
          {.what = "cannot ask the model the starter questions",
           .why = "its tokenizer is not that of the starter suite, whose thoughts have tokens of their own",
           .fix = "give --eval-dataset gsm8k:FILE.jsonl"});
    return StarterSet(count);
  }
  if (dataset.starts_with("gsm8k:"))
    return Gsm8kSet(dataset, FirstQuestionsOf(dataset.substr(6), count), count, tokenizer);
  if (const std::optional<std::string> folder = DataFolderOf(dataset))
    return Gsm8kSet(dataset, TestQuestionsOf(*folder, count), count, tokenizer);
  throw Error({.kind = ErrorKind::kUsage,
               .what = "unknown data set " + dataset,
               .why = "the reasoning stage knows starter, gsm8k:FILE.jsonl and data:FOLDER",
               .fix = "give one of them with --eval-dataset"});
}

}  // namespace forge::pipeline
