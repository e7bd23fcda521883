// SPDX-License-Identifier: Apache-2.0
#include "runtime/linear.h"

namespace forge::runtime {

WeightType Linear::type() const {
  if (const PackedMatrix* packed = std::get_if<PackedMatrix>(&matrix_)) return packed->type();
  switch (std::get<CodeMatrix>(matrix_).layout()) {
    case CodeLayout::kInt8:
    case CodeLayout::kHalves:
      return WeightType::kInt8;
    case CodeLayout::kInt4:
      return WeightType::kInt4;
    case CodeLayout::kTwoBit:
    case CodeLayout::kBase3:
    case CodeLayout::kBase27:
      break;
  }
  return WeightType::kTernary;
}

}  // namespace forge::runtime
