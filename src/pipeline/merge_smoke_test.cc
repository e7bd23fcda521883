// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_smoke_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "pipeline/model_reference.h"
#include "pipeline/model_source.h"
#include "runtime/native_model.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kText =
    "The ferry left the harbour an hour before sunrise, and by the time the first passengers came up on deck "
    "the "
    "coast was no more than a grey line. Most of them were going home after the winter. A carpenter had "
    "bought a "
    "new saw and showed it to anyone who asked; two sisters shared a loaf of bread and argued about the "
    "weather. "
    "If the wind stayed in the west, the captain said, they would arrive before noon. There were 42 people "
    "on "
    "board, 3 dogs and a crate of apples that nobody had claimed. At eight o'clock the cook opened his small "
    "window and sold coffee and eggs, and the line in front of it soon reached the stairs.";
constexpr const char* kPrompts[] = {"The capital of France is", "Once upon a time there was a small",
                                    "To sort a list of numbers, you can",
                                    "Question: What is 2 + 3?\nAnswer:"};
constexpr int kNewTokens = 48;
constexpr std::size_t kGram = 4;

struct Loaded {
  explicit Loaded(const fs::path& path) {
    ModelToRun loaded = LoadModelToRun(path);
    model = std::make_unique<runtime::NativeModel>(std::move(loaded.weights));
    tokenizer = std::move(loaded.tokenizer);
  }
  std::vector<int> Encode(const char* text) const {
    std::vector<int> ids = tokenizer->WithTemplate(tokenizer->Encode(text));
    const std::vector<int>& after = tokenizer->data().after;
    ids.resize(ids.size() - after.size());
    return ids;
  }
  double Nll(std::size_t& tokens) const {
    std::vector<int> ids = Encode(kText);
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(model->config().max_position_embeddings)));
    tokens = ids.size() - 1;
    const model::ScoreRequest request{{ids.front()}, {{ids.begin() + 1, ids.end()}}};
    const auto scores = model->Score(std::span(&request, 1));
    double sum = 0;
    for (const float log_prob : scores[0][0]) sum -= static_cast<double>(log_prob);
    return sum / static_cast<double>(tokens);
  }
  std::unique_ptr<runtime::NativeModel> model;
  std::shared_ptr<text::Tokenizer> tokenizer;
};

io::Json Continue(const Loaded& loaded) {
  std::vector<model::GenerateRequest> requests;
  for (const char* prompt : kPrompts) requests.push_back({.prompt = loaded.Encode(prompt)});
  const auto answers = loaded.model->Generate(
      requests, {.max_new_tokens = kNewTokens, .stop_token_ids = loaded.model->config().eos_token_ids});
  io::Json prompts = io::Json::array();
  for (std::size_t i = 0; i < answers.size(); ++i)
    prompts.push_back({{"prompt", kPrompts[i]},
                       {"text", loaded.tokenizer->Decode(answers[i].tokens, true)},
                       {"repetition", RepeatedFourGrams(answers[i].tokens)}});
  return prompts;
}

}  // namespace

double RepeatedFourGrams(std::span<const int> tokens) {
  if (tokens.size() <= kGram) return 0;
  std::set<std::vector<int>> seen;
  std::size_t repeated = 0;
  const std::size_t grams = tokens.size() - kGram + 1;
  for (std::size_t i = 0; i < grams; ++i)
    repeated += !seen.insert(std::vector<int>(tokens.begin() + static_cast<std::ptrdiff_t>(i),
                                              tokens.begin() + static_cast<std::ptrdiff_t>(i + kGram)))
                     .second;
  return static_cast<double>(repeated) / static_cast<double>(grams);
}

io::Json RunMergeSmokeTest(const fs::path& merged, const fs::path& reference, MetricSink& sink) {
  sink.Log("merge: running the result on a text and four prompts");
  std::size_t tokens = 0;
  io::Json result;
  {
    const Loaded loaded(merged);
    result["nll"] = loaded.Nll(tokens);
    result["prompts"] = Continue(loaded);
  }
  result["tokens"] = tokens;
  result["reference"] = ShortNameOf(reference);
  result["reference_nll"] = Loaded(reference).Nll(tokens);
  double highest = 0;
  for (const io::Json& prompt : result["prompts"])
    highest = std::max(highest, prompt["repetition"].get<double>());
  result["highest_repetition"] = highest;
  return result;
}

}  // namespace forge::pipeline
