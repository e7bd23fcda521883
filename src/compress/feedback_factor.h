// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace forge::compress {

/// H = U D U^T with U unit upper triangular: how the error of the columns before k is made good in column k
/// (QuIP, Chee et al. 2023, arXiv:2307.13304, equation 3; with nearest rounding the same codes as GPTQ,
/// Frantar et al. 2022, arXiv:2210.17323, without an inverse). The output error of a row is the sum over k of
/// D_k times (value meant for column k - value it got)^2.
struct FeedbackFactor {
  std::size_t size = 0;
  std::vector<float> u;  // [size, size], above the diagonal; the rest is 0
  std::vector<float> d;  // [size], > 0
};

/// Of H + damping * mean(diagonal) * I.
///   h        [size, size], symmetric, positive semidefinite up to rounding; taken over as working space
///   damping  share, > 0; 0.01 as GPTQ. Raised tenfold, at most five times, where rounding leaves a pivot
///            that is not positive (columns that are all zeros need no more than the first).
/// float32 with blocks of columns in double. Cost: size^3 / 3 multiply-adds, on the global thread pool.
FeedbackFactor FactorGram(std::vector<float> h, std::size_t size, double damping);

}  // namespace forge::compress
