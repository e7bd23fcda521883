// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/float_type.h"
#include "io/json_file.h"
#include "model/model_weights.h"
#include "model/weight_source.h"

namespace forge::model {

/// Ternary linears in the folder layout of transformers' quant_method "bitnet" (integrations/bitnet.py):
/// X.weight is U8 [out / 4, in]; with r = out / 4, bits 2 i and 2 i + 1 of byte [k, c] hold the code of row i
/// r + k, column c, plus 1 (the four rows of a byte are r apart; code 3 does not exist). X.weight_scale [1]
/// is one number for the tensor, whose direction depends on quantization_config:
///   linear_class "bitlinear" (default)                         W = codes / weight_scale
///   linear_class "autobitlinear", quantization_mode "offline"  W = codes * weight_scale
/// There are no scales of groups or rows.

/// codes [out, in] in {-1, 0, 1}, out a multiple of 4 -> [out / 4, in] bytes.
std::vector<std::uint8_t> PackBitnet(std::span<const std::int8_t> codes, std::int64_t out, std::int64_t in);

/// Whether a config.json names this layout. Throws Error(kInput) for a variant of it that forge does not
/// compute: mode "online" (its weights are not ternary yet), norms inside the linears, other classes.
bool IsBitnetConfig(const io::Json& config_json, const std::string& source);

/// The weights of such a folder; linears are widened to codes times scale.
std::unique_ptr<WeightSource> OpenBitnetFolder(const std::filesystem::path& path);

/// A linear with one scale.
struct BitnetLinear {
  std::vector<std::int8_t> codes;  // [out, in]
  float scale;                     // W = codes * scale
};
/// The scale that is left when the layout stores 1 / scale as `type`: what the model must be judged by.
float BitnetStoredScale(float scale, io::FloatType type);

/// Writes such a folder, linear_class "bitlinear", which transformers loads and llama.cpp's converter reads;
/// all other tensors as `type`. Complete or not at all.
///   linears           all linears of ListTensors(config)
///   tokenizer_source  a folder whose tokenizer's files are copied; empty: none
/// Throws Error(kInput) for a linear whose `out` is not a multiple of 4.
void SaveBitnetFolder(const std::filesystem::path& path, const ModelConfig& config,
                      const ModelWeights& weights, const std::map<std::string, BitnetLinear>& linears,
                      io::FloatType type, const std::filesystem::path& tokenizer_source);

}  // namespace forge::model
