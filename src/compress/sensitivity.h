// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "io/gguf_blocks.h"
#include "model/weight_source.h"

namespace forge::compress {

/// The linears that run as one product and are stored in one type: q, k, v; o; gate, up; down.
std::vector<std::vector<std::string>> FusedLinears(const model::ModelConfig& config);

/// The values [out, in] that a linear is to be tried with, by its name.
using ReplacedLinear = std::function<std::vector<float>(const std::string&)>;

/// What each unit of FusedLinears alone costs: the mean divergence KL(p || q) in nats of the next-token
/// distribution, p of the original model, q of the one in which only this unit has the values of `replaced`.
///   texts     windows never used to fit; every eighth position of them is looked at
/// Returns one number for each unit. Memory: the model packed as it is stored, the residual states of all
/// layers, and the logits looked at. Cost: for each unit a forward pass from its layer on.
std::vector<double> MeasureSensitivity(const model::WeightSource& source, const ReplacedLinear& replaced,
                                       std::span<const std::vector<int>> texts, MetricSink& sink,
                                       const StopToken& stop);

/// The same of embedding and head: what each alone costs in each of the types, every weight rounded
/// (EncodeBlocks). A tied head is the embedding, and both its uses change at once.
///   types  that rows of the tables fill the blocks of
/// Returns for each table, by name, one number for each type. Cost: for the embedding a whole forward pass
/// for each type, for a head that is stored by itself the product with it.
std::map<std::string, std::vector<double>> MeasureTableSensitivity(const model::WeightSource& source,
                                                                   std::span<const io::BlockType> types,
                                                                   std::span<const std::vector<int>> texts,
                                                                   MetricSink& sink, const StopToken& stop);

}  // namespace forge::compress
