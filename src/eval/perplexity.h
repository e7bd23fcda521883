// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "eval/model_session.h"

namespace forge::eval {

/// A stretch of a text that the model sees at once. Of its tokens [begin, end), those from `first` on are
/// scored, begin < first < end; no token is scored in two windows.
struct Window {
  std::size_t begin, first, end;
};

/// Windows of `context` tokens, each `stride` behind the one before (1 <= stride <= context). A token is
/// scored in the first window that has a token before it, so without overlap the first token of a window is
/// not scored, and with overlap only the first token of the text.
std::vector<Window> StridedWindows(std::size_t tokens, std::size_t context, std::size_t stride);

/// lm-evaluation-harness' rolling windows over a text with a prefix token in front, `tokens` with it: every
/// token but the prefix is scored, `predicted` at most at once; the last window reaches back as far as the
/// model can see.
std::vector<Window> RollingWindows(std::size_t tokens, std::size_t predicted);

/// How well a text was predicted.
struct TextLikelihood {
  double nll = 0;  // natural, summed over the scored tokens
  std::size_t tokens = 0, words = 0, bytes = 0;

  double PerToken() const;  // perplexities: exp(nll / count)
  double PerWord() const;
  double PerByte() const;
  double BitsPerByte() const;  // nll / bytes / ln 2
};

/// Words as the harness counts them: stretches of white space and one.
std::size_t CountWords(std::string_view text);

/// nll and tokens of the windows, several in a call; `stage` names the progress, which counts tokens.
TextLikelihood ScoreWindows(const ModelSession& session, std::span<const int> ids,
                            const std::vector<Window>& windows, const std::string& stage);

}  // namespace forge::eval
