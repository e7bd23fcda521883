// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace forge::merge {

/// The name of a layer's tensor, "model.layers.3.mlp.up_proj.weight", for another layer.
std::string InLayer(const std::string& name, int layer);

}  // namespace forge::merge
