// SPDX-License-Identifier: Apache-2.0
#include "runtime/sampler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

void CheckGenerateOptions(const model::GenerateOptions& options) {
  std::vector<std::string> problems;
  if (options.max_new_tokens < 0)
    problems.push_back(fmt::format("max_new_tokens is {}; it must be 0 or more", options.max_new_tokens));
  if (!(options.temperature >= 0 && options.temperature <= 100))
    problems.push_back(fmt::format("temperature is {}; it must be 0 to 100", options.temperature));
  if (!(options.top_p > 0 && options.top_p <= 1))
    problems.push_back(fmt::format("top_p is {}; it must be above 0 and at most 1", options.top_p));
  if (options.top_k < 0)
    problems.push_back(fmt::format("top_k is {}; it must be 0 (all) or more", options.top_k));
  if (problems.empty()) return;
  throw Error({.kind = ErrorKind::kUsage,
               .what = "cannot generate with these options",
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "see forge generate --help"});
}

void ThrowAllBanned() {
  throw Error({.what = "cannot generate a token",
               .why = "every token of the vocabulary is banned",
               .fix = "ban fewer tokens"});
}

namespace {

/// The first of the highest logits that is not banned; -1 if all are.
template <class Banned>
int BestOf(std::span<const float> logits, const Banned& banned) {
  constexpr std::size_t kLanes = 16, kPiece = 64 * kLanes;
  int best = -1;
  for (std::size_t start = 0; start < logits.size(); start += kPiece) {
    const std::span<const float> piece = logits.subspan(start, std::min(kPiece, logits.size() - start));
    if (best >= 0 && piece.size() == kPiece) {  // most pieces hold nothing higher
      float highest[kLanes];
      std::fill_n(highest, kLanes, logits[static_cast<std::size_t>(best)]);
      for (std::size_t i = 0; i < kPiece; i += kLanes)
        for (std::size_t lane = 0; lane < kLanes; ++lane)
          highest[lane] = piece[i + lane] > highest[lane] ? piece[i + lane] : highest[lane];
      if (!(*std::max_element(highest, highest + kLanes) > logits[static_cast<std::size_t>(best)])) continue;
    }
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const int id = static_cast<int>(start + i);
      if ((best < 0 || piece[i] > logits[static_cast<std::size_t>(best)]) && !banned(id)) best = id;
    }
  }
  return best;
}

}  // namespace

SampledToken SampleToken(std::span<const float> logits, const model::GenerateOptions& options,
                         Random& random) {
  const double log_total = options.log_probs ? Kernels().log_sum_exp(logits.data(), logits.size()) : 0;
  const auto banned = [&](int id) {
    return std::find(options.banned_token_ids.begin(), options.banned_token_ids.end(), id) !=
           options.banned_token_ids.end();
  };
  const auto result = [&](int id) {
    const auto logit = static_cast<double>(logits[static_cast<std::size_t>(id)]);
    return SampledToken{id, options.log_probs ? static_cast<float>(logit - log_total) : 0.0f};
  };
  const int best = BestOf(logits, banned);
  if (best < 0) ThrowAllBanned();
  if (options.temperature == 0) return result(best);

  std::vector<int> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::erase_if(ids, banned);
  const auto before = [&](int a, int b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const bool cut = options.top_k > 0 || options.top_p < 1;
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < ids.size()) {
    std::partial_sort(ids.begin(), ids.begin() + options.top_k, ids.end(), before);
    ids.resize(static_cast<std::size_t>(options.top_k));
  } else if (cut) {
    std::sort(ids.begin(), ids.end(), before);
  }
  std::vector<double> weights(ids.size());
  double total = 0;
  const double highest = static_cast<double>(logits[static_cast<std::size_t>(best)]);
  for (std::size_t i = 0; i < ids.size(); ++i)
    total += weights[i] = std::exp((static_cast<double>(logits[static_cast<std::size_t>(ids[i])]) - highest) /
                                   options.temperature);
  if (options.top_p < 1) {
    double kept = 0;
    std::size_t count = 0;
    while (count < ids.size() && kept < options.top_p * total) kept += weights[count++];
    ids.resize(std::max<std::size_t>(count, 1));
    total = std::accumulate(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(ids.size()), 0.0);
  }
  double threshold = random.Uniform() * total;
  for (std::size_t i = 0; i < ids.size(); ++i)
    if ((threshold -= weights[i]) < 0) return result(ids[i]);
  return result(ids.back());  // rounding left a rest
}

}  // namespace forge::runtime
