// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "pipeline/unified_pipeline.h"

namespace forge::pipeline {

/// Sets what a preset decides, unless the user did: `is_given` is asked with the names of fields. "starter"
/// decides nothing. "smoke" and "small" are for real models: they need --tasks of ordinary text
/// (Error(kUsage)), from which the data of the other stages follow where nothing else was given.
///
///             generations  items (search, selection, test)  questions  ternary training
///   smoke               1                       12, 12, 32         60              none
///   small               4                       24, 24, 96        200         300 steps
void ApplyPreset(const std::function<bool(const std::string& field)>& is_given, UnifiedConfig& config);

}  // namespace forge::pipeline
