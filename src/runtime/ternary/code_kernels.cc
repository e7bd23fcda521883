// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/code_kernels.h"

#include "base/cpu_features.h"

namespace forge::runtime {

CodeTile::CodeTile(const CodePanels& panels, std::size_t panel, std::size_t block, std::size_t count)
    : codes(panels.Codes(panel, block)),
      code_stride(static_cast<std::size_t>(panels.Codes(panel, block + 1) - codes)),
      lower(panels.lower == nullptr ? nullptr : panels.LowerCodes(panel, block)),
      lower_stride(panels.lower == nullptr ? 0 : panels.block_bytes),
      weight_scales{},
      blocks(count),
      quads(Quads(panels.BlockLength(block))),
      zero_bits(ZeroBits(panels.layout)),
      tokens(0),
      x(nullptr),
      x_scales(nullptr),
      x_sums(nullptr),
      x_width(0),
      y(nullptr) {
  for (std::size_t b = 0; b < count; ++b) weight_scales[b] = panels.Scales(panel, block + b);
}

void CodeTile::SetTokens(const Int8Tile& from, std::size_t first, std::size_t count, std::size_t x_block,
                         std::size_t block_length) {
  tokens = count;
  x = from.codes + x_block * block_length * from.width + 4 * first;
  x_scales = from.scales + x_block * from.width + first;
  x_sums = from.sums + x_block * from.width + first;
  x_width = from.width;
}

const CodeKernels& ChosenCodeKernels() {
#if defined(__x86_64__)
  switch (ChosenTarget()) {
    case CpuTarget::kAvx512:
      return Avx512CodeKernels();
    case CpuTarget::kAvx2:
      return Avx2CodeKernels();
    case CpuTarget::kScalar:
      break;
  }
#endif
  return ScalarCodeKernels();
}

bool HasFastBase3() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return ChosenTarget() == CpuTarget::kAvx512 && __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
}

}  // namespace forge::runtime
