// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/model_session.h"
#include "eval/task_file.h"

namespace forge::eval {

struct WrittenText {
  std::string text;       // up to, and without, the first of the `until` texts
  int tokens = 0;         // written
  bool is_ended = false;  // by an until text or an end token, not by the limit
  bool is_cut = false;    // the beginning of the context was left out to make room
};

/// What the model writes behind each context, all contexts together. A context that leaves less than
/// max_new_tokens of the model's positions loses its beginning. `tokens_done` grows by prompt and new tokens.
std::vector<WrittenText> WriteTexts(const ModelSession& session, std::span<const std::string> contexts,
                                    const Generation& options, std::uint64_t seed, std::size_t& tokens_done);

}  // namespace forge::eval
