// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pipeline/compress_settings.h"
#include "pipeline/model_source.h"
#include "pipeline/run_context.h"

namespace forge::pipeline {

/// BitNet: compresses the model to ternary linears and measures what is left of it (compress/compressor.h).
/// Writes <run>/compress/model.gguf. Ends the stage "compress" with the result of track/run_report.h. Returns
/// the file.
std::filesystem::path RunCompressStage(const CompressSettings& settings, const LoadedModel& model,
                                       const RunContext& context);

}  // namespace forge::pipeline
