// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace forge::train {

/// a b^T [m, n] of a [m, k] and b [n, k], float32 or both bfloat16, any strides (a transposed view costs no
/// copy worth naming).
///
/// On the CPU through oneDNN. at::mm gives float32 to MKL, which leaves AVX-512 unused on processors that are
/// not Intel's: half the speed on Zen 5 (docs/training.md has the command). No gradient flows through it.
at::Tensor TimesTransposed(const at::Tensor& a, const at::Tensor& b);

}  // namespace forge::train
