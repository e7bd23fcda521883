// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace forge::train {

/// Makes a linear ternary while it trains: the products use W + lambda * stop_gradient(quantize(W) - W)
/// (bitnet-ternary.md 1.0: the gradient reaches W for every lambda). At lambda 1 they use quantize(W) itself.
struct StraightThrough {
  /// quantized [out, in] from weights [out, in]; called once a step, where lambda is not 0, for each of the
  /// seven linears of each layer. Empty: plain training.
  std::function<void(const std::string& name, const float* weights, std::int64_t out, std::int64_t in,
                     float* quantized)>
      quantize;
  std::function<double(int step)> lambda;
  /// Also the inputs x of these linears: x + lambda * stop_gradient(Q(x) - x), Q(x) = round(x / s) s with
  /// s = max |x| / 127 of each token (BitNet b1.58, arXiv:2402.17764, section 2), so that the model learns
  /// with what int8 activations lose.
  bool int8_activations = false;
};

}  // namespace forge::train
