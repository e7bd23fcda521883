// SPDX-License-Identifier: Apache-2.0
#include "pipeline/self_texts.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/philox.h"
#include "runtime/native_model.h"

namespace forge::pipeline {
namespace {

constexpr int kGreedyTokens = 3;
constexpr std::size_t kTogether = 32;  // texts, between two looks at `stop`

/// A token that stands for text.
int FirstToken(const text::Tokenizer& tokenizer, int vocab_size, Random& random) {
  constexpr int kMostTries = 100'000;
  for (int i = 0; i < kMostTries; ++i) {
    const int token = static_cast<int>(random.Below(static_cast<std::uint32_t>(vocab_size)));
    const std::string text = tokenizer.Decode(std::span(&token, 1), /*skip_special=*/true);
    if (text.find_first_not_of(" \t\r\n") != std::string::npos) return token;
  }
  throw Error({.what = "the model cannot begin a text",
               .why = "its vocabulary has no token that stands for text",
               .fix = "give a text file as --calibration-dataset"});
}

/// The token with what the tokenizer puts in front of a text.
std::vector<int> Beginning(const text::Tokenizer& tokenizer, int token) {
  std::vector<int> ids = tokenizer.WithTemplate({token});
  ids.erase(std::find(ids.begin(), ids.end(), token) + 1, ids.end());
  return ids;
}

/// Cut at the first white space behind a quarter; false without one.
bool Cut(const std::string& text, eval::Item& item) {
  const std::size_t middle = text.find_first_of(" \n", std::max<std::size_t>(1, text.size() / 4));
  if (middle == std::string::npos || middle + 1 >= text.size()) return false;
  item = {text.substr(0, middle), text.substr(middle)};
  return true;
}

}  // namespace

std::vector<eval::Item> WriteSelfTexts(const OpenedModel& model, const SelfTextOptions& options,
                                       MetricSink& sink, const StopToken& stop) {
  runtime::NativeModel writer(runtime::PackWeights(*model.weights, {}));
  const text::Tokenizer& tokenizer = *model.tokenizer;
  const int vocab_size = std::min(model.config.vocab_size, tokenizer.size());
  const int to_write =
      std::min(options.tokens, model.config.max_position_embeddings) - 2;  // behind bos and the first
  Random random(options.seed, "self texts");
  std::vector<eval::Item> items;
  for (int done = 0; done < options.count;) {
    stop.ThrowIfRequested("writing texts");
    std::vector<model::GenerateRequest> requests;
    for (std::size_t i = 0; i < kTogether && done + static_cast<int>(i) < options.count; ++i)
      requests.push_back({.prompt = Beginning(tokenizer, FirstToken(tokenizer, vocab_size, random)),
                          .seed = random.NextUint64()});
    const auto write = [&](int count, double temperature) {
      const std::vector<model::Generation> written = writer.Generate(
          requests, {.max_new_tokens = count,
                     .temperature = temperature,
                     .stop_token_ids = temperature > 0 ? model.config.eos_token_ids : std::vector<int>{},
                     .banned_token_ids = temperature > 0 ? std::vector<int>{} : model.config.eos_token_ids});
      for (std::size_t i = 0; i < requests.size(); ++i)
        requests[i].prompt.insert(requests[i].prompt.end(), written[i].tokens.begin(),
                                  written[i].tokens.end());
    };
    write(std::min(kGreedyTokens, to_write), 0);
    if (to_write > kGreedyTokens) write(to_write - kGreedyTokens, 1);
    for (const model::GenerateRequest& request : requests) {
      eval::Item item;
      if (Cut(tokenizer.Decode(request.prompt, /*skip_special=*/true), item))
        items.push_back(std::move(item));
    }
    done += static_cast<int>(requests.size());
    sink.Progress("texts of the model itself", done, options.count, "texts");
  }
  if (items.empty())
    throw Error({.what = "the model writes no text to calibrate on",
                 .why = "none of its texts has a word behind the first quarter",
                 .fix = "give a text file as --calibration-dataset"});
  return items;
}

}  // namespace forge::pipeline
