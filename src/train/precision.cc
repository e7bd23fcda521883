// SPDX-License-Identifier: Apache-2.0
#include "train/precision.h"

#include <algorithm>
#include <vector>

#include "base/cpu_features.h"

namespace forge::train {

Precision ChoosePrecision(const std::string& word, const std::string& device) {
  const std::vector<std::string> features = CpuFeatureNames();
  const bool has_bf16 =
      device == "cpu" && std::find(features.begin(), features.end(), "avx512bf16") != features.end();
  return word == "bf16" || (word == "auto" && has_bf16) ? Precision::kBFloat16 : Precision::kFloat32;
}

}  // namespace forge::train
