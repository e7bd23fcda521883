// SPDX-License-Identifier: Apache-2.0
#include "train/torch/matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace forge::train {
namespace {

// libtorch's operator for one linear of its compiler, the only one that hands float32 to oneDNN as it is.
using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                          std::string_view, c10::List<std::optional<at::Scalar>>,
                          std::optional<std::string_view>);

/// Nothing in a libtorch built without oneDNN.
const std::optional<c10::TypedOperatorHandle<Linear>>& OneDnnLinear() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<Linear>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle || !handle->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
    return handle->typed<Linear>();
  }();
  return found;
}

}  // namespace

at::Tensor TimesTransposed(const at::Tensor& a, const at::Tensor& b) {
  const auto& linear = OneDnnLinear();
  if (!a.is_cpu() || a.scalar_type() != at::kFloat || !linear) return at::mm(a, b.t());
  return linear->call(a, b, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace forge::train
