// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "model/language_model.h"
#include "text/tokenizer.h"

namespace forge::eval {

/// The model that is measured, and how texts become its tokens.
struct ModelSession {
  model::LanguageModel& model;
  const text::Tokenizer& tokenizer;
  std::vector<int> stop_token_ids;  // that end what it writes
  /// The tokens of a user's turn and the start of the assistant's (--apply-chat-template); empty: plain text.
  std::function<std::vector<int>(const std::string& context)> chat;
  MetricSink* sink = nullptr;       // progress; may be null
  const StopToken* stop = nullptr;  // may be null

  /// Tokens of a text that starts a sequence: with bos where the tokenizer puts one.
  std::vector<int> Start(std::string_view text) const;
  /// What stands before the first token of a text that has nothing before it: bos, or else the end token.
  int PrefixToken() const;
  /// Throws Error(kInterrupted) after Ctrl-C, with how far the work came.
  void CheckStop(const std::string& stage, std::size_t done, std::size_t total) const;
  void Progress(const std::string& stage, std::size_t done, std::size_t total, const char* unit) const;
};

}  // namespace forge::eval
