// SPDX-License-Identifier: Apache-2.0
#include "model/narrowest_type.h"

#include <algorithm>
#include <set>

#include "base/float16.h"

namespace forge::model {
namespace {

bool KeepsBFloat16(float value) { return BFloat16ToFloat(FloatToBFloat16(value)) == value; }
bool KeepsHalf(float value) { return RoundToHalf(value) == value; }

}  // namespace

io::FloatType NarrowestExactType(const WeightSource& weights) {
  const std::vector<TensorSpec> specs = ListTensors(weights.config());
  std::set<std::string> stored;
  for (const TensorSpec& spec : specs) stored.insert(weights.StoredType(spec));
  if (stored == std::set<std::string>{"BF16"}) return io::FloatType::kBF16;
  bool bfloat16 = true, half = true;
  for (const TensorSpec& spec : specs) {
    if (!bfloat16 && !half) break;
    VisitRows(weights, spec, 1, [&](std::span<const float> values) {
      bfloat16 = bfloat16 && std::all_of(values.begin(), values.end(), KeepsBFloat16);
      half = half && std::all_of(values.begin(), values.end(), KeepsHalf);
    });
  }
  return bfloat16 ? io::FloatType::kBF16 : half ? io::FloatType::kF16 : io::FloatType::kF32;
}

}  // namespace forge::model
