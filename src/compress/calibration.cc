// SPDX-License-Identifier: Apache-2.0
#include "compress/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/error.h"
#include "base/philox.h"

namespace forge::compress {
namespace {

using runtime::LinearInput;

/// The linears that take each kind of input.
std::vector<const char*> LinearsOf(LinearInput input) {
  switch (input) {
    case LinearInput::kAttention:
      return {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
    case LinearInput::kAttentionOutput:
      return {"self_attn.o_proj"};
    case LinearInput::kMlp:
      return {"mlp.gate_proj", "mlp.up_proj"};
    case LinearInput::kDown:
      return {"mlp.down_proj"};
  }
  return {};
}

/// Observes a model as long as it lives.
class Observation {
 public:
  Observation(runtime::NativeModel& model, runtime::LinearObserver observer) : model_(model) {
    model_.ObserveLinearInputs(std::move(observer));
  }
  ~Observation() { model_.ObserveLinearInputs({}); }
  Observation(const Observation&) = delete;
  Observation& operator=(const Observation&) = delete;

 private:
  runtime::NativeModel& model_;
};

constexpr std::size_t kHeldOutOf = 8;

/// `count` of the texts, drawn without replacement, in their order.
std::vector<std::vector<int>> ChooseTexts(const std::vector<std::vector<int>>& texts, int count,
                                          std::uint64_t seed) {
  if (static_cast<std::size_t>(count) >= texts.size()) return texts;
  std::vector<std::size_t> indices(texts.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  Random random(seed, "compress/calibration");
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    std::swap(indices[i], indices[i + random.Below(static_cast<std::uint32_t>(indices.size() - i))]);
  indices.resize(static_cast<std::size_t>(count));
  std::sort(indices.begin(), indices.end());
  std::vector<std::vector<int>> chosen;
  for (const std::size_t index : indices) chosen.push_back(texts[index]);
  return chosen;
}

}  // namespace

SecondMoments CollectSecondMoments(runtime::NativeModel& model, std::span<const std::vector<int>> texts,
                                   const StopToken* stop) {
  if (texts.empty())
    throw Error({.what = "cannot calibrate the compression",
                 .why = "there is no calibration text",
                 .fix = "give at least one text"});
  std::map<std::pair<int, LinearInput>, std::vector<double>> sums;
  std::size_t tokens = 0;
  {
    const Observation observation(
        model, [&](int layer, LinearInput input, const float* rows, std::size_t count, std::size_t width) {
          std::vector<double>& sum = sums[{layer, input}];
          sum.resize(width);
          for (std::size_t row = 0; row < count; ++row)
            for (std::size_t i = 0; i < width; ++i)
              sum[i] += double{rows[row * width + i]} * rows[row * width + i];
        });
    for (const std::vector<int>& text : texts) {  // one a call: in order, on this thread
      if (stop != nullptr) stop->ThrowIfRequested("the calibration");
      model.LastHidden(std::span(&text, 1));
      tokens += text.size();
    }
  }
  SecondMoments moments;
  for (const auto& [key, sum] : sums) {
    std::vector<float> means;
    for (const double value : sum) means.push_back(static_cast<float>(value / static_cast<double>(tokens)));
    for (const char* linear : LinearsOf(key.second))
      moments[fmt::format("model.layers.{}.{}.weight", key.first, linear)] = means;
  }
  return moments;
}

void RaiseSmallMoments(SecondMoments& moments, double share) {
  for (auto& [name, values] : moments) {
    double mean = 0;
    for (const float value : values) mean += value / static_cast<double>(values.size());
    for (float& value : values) value = std::max(value, static_cast<float>(share * mean));
  }
}

CalibrationTexts SplitTexts(const std::vector<std::vector<int>>& texts, int count, std::uint64_t seed) {
  std::vector<std::vector<int>> chosen = ChooseTexts(texts, count, seed);
  const std::size_t every = std::min(kHeldOutOf, chosen.size());
  CalibrationTexts split;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    (chosen.size() > 1 && i % every == every - 1 ? split.held_out : split.fitted)
        .push_back(std::move(chosen[i]));
  return split;
}

}  // namespace forge::compress
