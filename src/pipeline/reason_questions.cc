// SPDX-License-Identifier: Apache-2.0
#include "pipeline/reason_questions.h"

#include <fmt/format.h>

#include "base/error.h"
#include "eval/starter_items.h"
#include "io/json_lines.h"
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

QuestionSet Gsm8kSet(const std::string& path, int count, const text::Tokenizer& tokenizer) {
  QuestionSet set{.name = "gsm8k",
                  .format = {.opening = tokenizer.Encode("\nLet's think step by step."),
                             .closing = {},
                             .suffix = "\nThe answer is",
                             .thought_length = 48,
                             .answer_length = 12}};
  io::JsonLines lines(path, "{\"question\": .., \"answer\": ..}, as in the JSONL file of GSM8K");
  while (static_cast<int>(set.test.size()) < count && lines.Next()) {
    std::string answer = lines.FilledText("answer");
    const std::size_t mark = answer.rfind("#### ");
    if (mark != std::string::npos) answer = answer.substr(mark + 5);
    std::erase(answer, ',');
    set.test.push_back({"Question: " + lines.FilledText("question") + "\nAnswer:", answer});
  }
  for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    if (const auto id = tokenizer.IdOf(special)) set.format.banned.push_back(*id);
  if (static_cast<int>(set.test.size()) < count)
    throw Error({.what = fmt::format("{} has only {} questions", path, set.test.size()),
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
  if (dataset.starts_with("gsm8k:")) return Gsm8kSet(dataset.substr(6), count, tokenizer);
  throw Error({.kind = ErrorKind::kUsage,
               .what = "unknown data set " + dataset,
               .why = "the reasoning stage knows starter and gsm8k:FILE.jsonl",
               .fix = "give --eval-dataset starter, or gsm8k: with the path of the JSONL file"});
}

}  // namespace forge::pipeline
