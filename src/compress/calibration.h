// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/stop_token.h"
#include "runtime/native_model.h"

namespace forge::compress {

/// h_i = E[x_i^2] of the input of each of the seven linears of every layer: [in], by the linear's name. q, k
/// and v share theirs, and so do gate and up.
using SecondMoments = std::map<std::string, std::vector<float>>;

/// Runs the texts through the model; every token of every text counts the same. The sums are taken in double
/// and in the order of the texts, so the result does not depend on the number of threads.
///   texts  token sequences, each of 1 to max_position_embeddings tokens
/// Throws Error(kInput) if there are none, Error(kInterrupted) when `stop` (may be null) asks.
SecondMoments CollectSecondMoments(runtime::NativeModel& model, std::span<const std::vector<int>> texts,
                                   const StopToken* stop = nullptr);

/// Raises every moment to at least `share` of the mean of its linear. An input that calibration saw no or
/// little use of may still matter elsewhere; without a floor its weights would get arbitrary codes.
void RaiseSmallMoments(SecondMoments& moments, double share);

/// Texts to fit to, and others of the kind that nothing is fitted to.
struct CalibrationTexts {
  std::vector<std::vector<int>> fitted, held_out;
};
/// `count` of the texts (all if there are fewer), drawn without replacement, in their order; the last of
/// every eight is held out. A single text is fitted to.
CalibrationTexts SplitTexts(const std::vector<std::vector<int>>& texts, int count, std::uint64_t seed);

}  // namespace forge::compress
