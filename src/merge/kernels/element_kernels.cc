// SPDX-License-Identifier: Apache-2.0
#include "merge/kernels/element_kernels.h"

#include <algorithm>
#include <vector>

#include "base/cpu_features.h"

namespace forge::merge {

const ElementKernels& Elements() {
  switch (ChosenTarget()) {
    case CpuTarget::kAvx512:
      return Avx512ElementKernels();
    case CpuTarget::kAvx2:
      return Avx2ElementKernels();
    default:
      return ScalarElementKernels();
  }
}

double SquaredLengths(std::span<const Values> vectors, std::size_t size) {
  constexpr std::size_t kBlock = 4096;  // float sums are precise enough over so many
  std::vector<Values> block(vectors.size());
  std::vector<float> squares(vectors.size());
  double sum = 0;
  for (std::size_t i = 0; i < size; i += kBlock) {
    for (std::size_t v = 0; v < vectors.size(); ++v) block[v] = vectors[v].From(i);
    Elements().sum_squares(block.data(), block.size(), std::min(kBlock, size - i), squares.data());
    for (const float square : squares) sum += static_cast<double>(square);
  }
  return sum;
}

}  // namespace forge::merge
