// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "eval/item.h"
#include "pipeline/compress_settings.h"
#include "pipeline/model_source.h"
#include "pipeline/run_context.h"

namespace forge::pipeline {

/// The domains to measure, with the texts of the calibration; with the starter tasks, among them the direct
/// answers that the reasoning stage baked, and with a second corpus that one, as the last. Those of "self"
/// are not among them: RunCompressStage has the model write them, once in a run. Throws Error(kInput) for a
/// data set or a model of this shape that cannot be used, Error(kUsage) for settings that do not fit it.
std::vector<eval::DomainItems> LoadCompressDomains(const CompressSettings& settings,
                                                   const model::ModelConfig& config);
/// Throws Error(kInput) for a model whose linears are ternary already.
void CheckCanCompress(const OpenedModel& model);

/// BitNet: compresses the model to ternary linears and measures what is left of it (compress/compressor.h).
/// Writes <run>/compress/model.gguf. Ends the stage "compress" with the result of track/run_report.h. Returns
/// the file.
std::filesystem::path RunCompressStage(const CompressSettings& settings,
                                       std::vector<eval::DomainItems> domains, const OpenedModel& model,
                                       const RunContext& context);

}  // namespace forge::pipeline
