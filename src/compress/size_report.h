// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/retention.h"
#include "io/gguf.h"
#include "model/language_model.h"
#include "model/model_weights.h"
#include "model/weight_source.h"

namespace forge::compress {

/// Where the bytes of a GGUF file are. The four classes add up to the size of the file.
struct FileSize {
  std::uint64_t linears = 0;   // the seven linears of each layer
  std::uint64_t tables = 0;    // embedding and head; a tied head is stored once
  std::uint64_t vectors = 0;   // norms and biases
  std::uint64_t metadata = 0;  // header, tokenizer, tensor list, padding
  std::uint64_t total = 0;     // as the file system says
  double linear_bits_per_weight = 0;
  double bits_per_weight = 0;                           // all bytes of the file, over all weights
  std::map<std::string, std::string> table_types = {};  // "Q8_0", by the table's name
};
FileSize MeasureGguf(const std::filesystem::path& path, const model::ModelConfig& config);

/// Bytes of the GGUF file of a model, with one plane for each linear, that are neither those of linears nor
/// of tables nor the padding behind them: header, tokenizer, norms, biases. 32 more than there are where the
/// types of the linears have no general.file_type.
std::uint64_t BytesBesideMatrices(const model::ModelConfig& config, const io::GgufMetadata& tokenizer,
                                  const std::string& model_name);

/// Bytes of the float16 safetensors file of the model.
std::uint64_t Float16Bytes(const model::ModelConfig& config);

using Evaluation = std::function<Scores(model::LanguageModel&)>;

/// The same model rounded without calibration, in the types that llama-quantize uses (K types by our own
/// encoders, which lose a little less): what compression has to beat.
struct Baseline {
  std::string name;  // "Q8_0", "Q5_0 and Q4_K": the types of the linears; tables are Q8_0
  FileSize size;
  Scores scores;  // empty without an evaluation
};
/// Written beside `near` to be measured, and removed again. Linears whose rows do not fill blocks of Q4_K
/// become Q5_0, as llama-quantize falls back. Nothing if rows do not fill blocks of 32. The model is
/// evaluated on the values that the file holds, in float.
std::optional<Baseline> MeasureBaseline(io::BlockType linear_type, const std::filesystem::path& near,
                                        const model::WeightSource& weights, const io::GgufMetadata& tokenizer,
                                        const Evaluation& evaluate);

}  // namespace forge::compress
