// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/float_type.h"
#include "model/weight_source.h"

namespace forge::model {

/// The narrowest float type that keeps every weight exactly; bfloat16 before float16. Reads the weights
/// unless all are stored as one of these types already.
io::FloatType NarrowestExactType(const WeightSource& weights);

}  // namespace forge::model
