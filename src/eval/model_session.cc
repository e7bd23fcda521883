// SPDX-License-Identifier: Apache-2.0
#include "eval/model_session.h"

#include <fmt/format.h>

#include "base/error.h"

namespace forge::eval {

std::vector<int> ModelSession::Start(std::string_view text) const {
  std::vector<int> ids = tokenizer.Encode(text);
  const text::TokenizerData& data = tokenizer.data();
  if (data.adds_bos()) ids.insert(ids.begin(), *data.bos);
  return ids;
}

int ModelSession::PrefixToken() const {
  const text::TokenizerData& data = tokenizer.data();
  if (data.bos) return *data.bos;
  if (data.eos) return *data.eos;
  if (!stop_token_ids.empty()) return stop_token_ids.front();
  throw Error({.what = "cannot score a text that has nothing before it",
               .why = "the tokenizer has neither a bos nor an eos token to start from",
               .fix = "use a task whose questions have a text"});
}

void ModelSession::CheckStop(const std::string& stage, std::size_t done, std::size_t total) const {
  if (stop == nullptr || !stop->stop_requested()) return;
  throw Error({.kind = ErrorKind::kInterrupted,
               .what = "stopped on request",
               .why = fmt::format("{} of {} items of {} were measured", done, total, stage),
               .fix = "run the same command again; finished tasks are kept"});
}

void ModelSession::Progress(const std::string& stage, std::size_t done, std::size_t total,
                            const char* unit) const {
  if (sink != nullptr)
    sink->Progress(stage, static_cast<std::int64_t>(done), static_cast<std::int64_t>(total), unit);
}

}  // namespace forge::eval
