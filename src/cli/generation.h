// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/config_field.h"
#include "base/stop_token.h"
#include "cli/model_flags.h"
#include "runtime/session.h"

namespace forge::cli {

/// How text is sampled; the flags that generate and chat share.
struct SamplingConfig {
  int max_new_tokens = 256;
  double temperature = 0;
  double top_p = 1;
  int top_k = 0;
  std::uint64_t seed = 1;
  std::string stop;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("max_new_tokens", max_new_tokens, InRange{1, 1'000'000}, "Tokens to write at most.");
    visit("temperature", temperature, InRange{0, 100},
          "0 takes the most probable token; higher varies more.");
    visit("top_p", top_p, InRange{1e-6, 1},
          "Sample from the smallest set of tokens whose probability reaches this.");
    visit("top_k", top_k, InRange{0, 1e6}, "Sample from this many most probable tokens; 0: from all.");
    visit("seed", seed, AnyValue{}, "The same seed gives the same text.");
    visit("stop", stop, AnyValue{}, "Text that ends the output; it is not shown.");
  }
};

struct GeneratedText {
  std::string text;
  std::vector<int> tokens;
  bool stopped = false;  // by an end token or the stop text, not by the limit
  double prompt_tokens_per_second = 0, tokens_per_second = 0;
};

/// Goes on from `prompt`, which only costs what `session` does not hold yet; `show` gets the text piece by
/// piece, without control tokens. Throws Error(kInterrupted) after a stop was requested.
GeneratedText GenerateText(const RunnableModel& model, runtime::Session& session,
                           const std::vector<int>& prompt, const SamplingConfig& sampling,
                           const StopToken& stop, const std::function<void(const std::string&)>& show);

}  // namespace forge::cli
