// SPDX-License-Identifier: Apache-2.0
#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "eval/pattern.h"

namespace forge::eval {
namespace {

constexpr std::size_t kTokensTogether = 4096;  // of the windows of one call

double Exp(double nll, std::size_t count) { return std::exp(nll / static_cast<double>(count)); }

}  // namespace

std::vector<Window> StridedWindows(std::size_t tokens, std::size_t context, std::size_t stride) {
  FORGE_CHECK(context >= 2 && stride >= 1 && stride <= context);
  std::vector<Window> windows;
  std::size_t scored = 0;  // tokens before this one are done with
  for (std::size_t begin = 0; begin + 1 < tokens && scored < tokens; begin += stride) {
    const std::size_t end = std::min(begin + context, tokens);
    windows.push_back({begin, std::max(scored, begin + 1), end});
    scored = end;
  }
  return windows;
}

std::vector<Window> RollingWindows(std::size_t tokens, std::size_t predicted) {
  FORGE_CHECK(predicted >= 1);
  std::vector<Window> windows;
  for (std::size_t first = 1; first < tokens;) {
    const std::size_t end = std::min(first + predicted, tokens);
    windows.push_back({end > predicted ? end - 1 - predicted : 0, first, end});
    first = end;
  }
  return windows;
}

double TextLikelihood::PerToken() const { return Exp(nll, tokens); }
double TextLikelihood::PerWord() const { return Exp(nll, words); }
double TextLikelihood::PerByte() const { return Exp(nll, bytes); }
double TextLikelihood::BitsPerByte() const { return nll / static_cast<double>(bytes) / std::numbers::ln2; }

std::size_t CountWords(std::string_view text) {
  static const Pattern kSpaces("\\s+", "the count of words");
  return kSpaces.FindAll(text).size() + 1;
}

TextLikelihood ScoreWindows(const ModelSession& session, std::span<const int> ids,
                            const std::vector<Window>& windows, const std::string& stage) {
  TextLikelihood result;
  for (std::size_t next = 0; next < windows.size();) {
    session.CheckStop(stage, windows[next].begin, ids.size());
    std::vector<model::ScoredSequence> sequences;
    for (std::size_t held = 0; next < windows.size() && (held == 0 || held < kTokensTogether); ++next) {
      const Window& window = windows[next];
      const auto tokens = ids.subspan(window.begin, window.end - window.begin);
      sequences.push_back({{tokens.begin(), tokens.end()}, window.first - window.begin});
      held += tokens.size();
    }
    std::vector<std::vector<double>> log_probs;
    for (const model::ScoredSequence& sequence : sequences)
      log_probs.emplace_back(sequence.tokens.size() - sequence.prefix);
    session.model.VisitScores(sequences,
                              [&](std::size_t s, std::size_t position, const float*, double log_prob) {
                                log_probs[s][position - sequences[s].prefix] = log_prob;
                              });
    for (const std::vector<double>& window : log_probs) {
      for (const double log_prob : window) result.nll -= log_prob;
      result.tokens += window.size();
    }
    session.Progress(stage, windows[next - 1].end, ids.size(), "tokens");
  }
  return result;
}

}  // namespace forge::eval
