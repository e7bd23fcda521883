// SPDX-License-Identifier: Apache-2.0
#include "cli/generation.h"

#include <chrono>

#include "base/error.h"
#include "text/text_stream.h"

namespace forge::cli {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void ThrowInterrupted() {
  throw Error({.kind = ErrorKind::kInterrupted,
               .what = "stopped on request",
               .why = "the text above is not complete",
               .fix = "run the same command again; the same seed gives the same text"});
}

}  // namespace

GeneratedText GenerateText(const RunnableModel& model, runtime::Session& session,
                           const std::vector<int>& prompt, const SamplingConfig& sampling,
                           const StopToken& stop, const std::function<void(const std::string&)>& show) {
  if (stop.stop_requested()) ThrowInterrupted();
  GeneratedText result;
  text::TextStream stream(sampling.stop.empty() ? std::vector<std::string>{} : std::vector{sampling.stop});
  const auto add = [&](const std::string& text) {
    result.text += text;
    if (!text.empty()) show(text);
  };
  const double started = Now();
  double first = 0, last = 0;
  model::GenerateOptions options{.max_new_tokens = sampling.max_new_tokens,
                                 .temperature = sampling.temperature,
                                 .top_p = sampling.top_p,
                                 .top_k = sampling.top_k,
                                 .stop_token_ids = model.stop_token_ids,
                                 .banned_token_ids = {},
                                 .log_probs = false,
                                 .on_token = {}};
  options.on_token = [&](std::size_t, int token) {
    last = Now();
    if (first == 0) first = last;
    if (!model.tokenizer->IsControl(token)) add(stream.Add(model.tokenizer->TokenBytes(token)));
    return !stop.stop_requested() && !stream.stopped();
  };
  const model::GenerateRequest request{prompt, sampling.seed};
  const model::Generation generation = session.Generate(request, options);
  add(stream.Finish());
  result.tokens = generation.tokens;
  result.stopped = generation.stopped;
  if (first > started)
    result.prompt_tokens_per_second =
        static_cast<double>(prompt.size() - session.reused()) / (first - started);
  if (last > first) result.tokens_per_second = static_cast<double>(result.tokens.size() - 1) / (last - first);
  if (stop.stop_requested()) ThrowInterrupted();
  return result;
}

}  // namespace forge::cli
