// SPDX-License-Identifier: Apache-2.0
#include "merge/layer_name.h"

#include <string_view>

namespace forge::merge {

std::string InLayer(const std::string& name, int layer) {
  constexpr std::string_view kPrefix = "model.layers.";
  return std::string(kPrefix) + std::to_string(layer) + name.substr(name.find('.', kPrefix.size()));
}

}  // namespace forge::merge
