// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/philox.h"
#include "train/thought_job.h"

namespace forge::train {

MixingHead MakeMixingHead(int hidden_size, std::uint64_t seed) {
  const auto hidden = static_cast<std::size_t>(hidden_size);
  MixingHead head{.hidden_size = hidden_size};
  const auto fill = [&](std::vector<float>& values, std::size_t count, std::size_t fan_in,
                        const char* purpose) {
    Random random(seed, purpose);
    values.resize(count);
    for (float& value : values)
      value = static_cast<float>(random.Normal() / std::sqrt(static_cast<double>(fan_in)));
  };
  fill(head.w1, hidden * 2 * hidden, 2 * hidden, "mixing_head/w1");
  fill(head.w2, hidden * hidden, hidden, "mixing_head/w2");
  head.b1.assign(hidden, 0);
  head.b2.assign(hidden, 0);
  head.w3.assign(hidden, 0);
  return head;
}

float MixingWeight(const MixingHead& head, const float* base_state, const float* thought_state) {
  const auto hidden = static_cast<std::size_t>(head.hidden_size);
  std::vector<float> first(hidden), second(hidden);
  for (std::size_t o = 0; o < hidden; ++o) {
    float sum = head.b1[o];
    for (std::size_t i = 0; i < hidden; ++i) sum += head.w1[o * 2 * hidden + i] * base_state[i];
    for (std::size_t i = 0; i < hidden; ++i) sum += head.w1[o * 2 * hidden + hidden + i] * thought_state[i];
    first[o] = sum > 0 ? sum : 0;
  }
  for (std::size_t o = 0; o < hidden; ++o) {
    float sum = head.b2[o];
    for (std::size_t i = 0; i < hidden; ++i) sum += head.w2[o * hidden + i] * first[i];
    second[o] = sum > 0 ? sum : 0;
  }
  float logit = head.b3;
  for (std::size_t i = 0; i < hidden; ++i) logit += head.w3[i] * second[i];
  return 1.0f / (1.0f + std::exp(-logit));
}

}  // namespace forge::train
