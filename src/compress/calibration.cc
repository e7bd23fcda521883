// SPDX-License-Identifier: Apache-2.0
#include "compress/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"

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

}  // namespace forge::compress
