// SPDX-License-Identifier: Apache-2.0
#include "eval/text_generation.h"

#include <algorithm>

#include "base/philox.h"

namespace forge::eval {
namespace {

/// Where the first of the end texts begins; npos if none does.
std::size_t FindEnd(const std::string& text, const std::vector<std::string>& until, std::size_t from = 0) {
  std::size_t end = std::string::npos;
  for (const std::string& stop : until) end = std::min(end, text.find(stop, from));
  return end;
}

}  // namespace

std::vector<WrittenText> WriteTexts(const ModelSession& session, std::span<const std::string> contexts,
                                    const Generation& options, std::uint64_t seed, std::size_t& tokens_done) {
  const int positions = session.model.config().max_position_embeddings;
  const int room = std::min(options.max_new_tokens, std::max(1, positions / 2));
  const auto longest = static_cast<std::size_t>(std::max(1, positions - room));
  std::vector<WrittenText> written(contexts.size());
  std::vector<model::GenerateRequest> requests;
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    std::vector<int> prompt = session.chat ? session.chat(contexts[i]) : session.Start(contexts[i]);
    if (prompt.empty()) prompt = {session.PrefixToken()};
    if (prompt.size() > longest) {
      prompt.erase(prompt.begin(), prompt.end() - static_cast<std::ptrdiff_t>(longest));
      written[i].is_cut = true;
    }
    tokens_done += prompt.size();
    requests.push_back({std::move(prompt), Random(seed, "eval/generate", i).NextUint64()});
  }
  std::size_t longest_stop = 0;
  for (const std::string& stop : options.until) longest_stop = std::max(longest_stop, stop.size());
  std::vector<std::string> texts(contexts.size());  // so far, by request: requests run side by side
  model::GenerateOptions generate{
      .max_new_tokens = room, .temperature = options.temperature, .stop_token_ids = session.stop_token_ids};
  generate.on_token = [&](std::size_t request, int token) {
    std::string& text = texts[request];
    const std::string piece = session.tokenizer.TokenBytes(token);
    const std::size_t known = text.size();
    text += piece;
    return FindEnd(text, options.until, known < longest_stop ? 0 : known - longest_stop) == std::string::npos;
  };
  const std::vector<model::Generation> generations = session.model.Generate(requests, generate);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    const model::Generation& generation = generations[i];
    tokens_done += generation.tokens.size();
    written[i].tokens = static_cast<int>(generation.tokens.size());
    written[i].is_ended = generation.stopped;
    std::string text = session.tokenizer.Decode(generation.tokens, true);
    written[i].text = text.substr(0, FindEnd(text, options.until));
  }
  return written;
}

}  // namespace forge::eval
