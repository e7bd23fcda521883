// SPDX-License-Identifier: Apache-2.0
#include "compress/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/thread_pool.h"
#include "compress/divergence.h"
#include "compress/linear_storage.h"
#include "compress/ternary_training.h"
#include "runtime/layer_pass.h"

namespace forge::compress {
namespace {

using runtime::PackedLayer;
using runtime::PackedMatrix;

constexpr std::size_t kEvery = 8;  // positions between those looked at

class Sensitivity {
 public:
  Sensitivity(const model::WeightSource& source, std::span<const std::vector<int>> texts,
              const StopToken& stop)
      : config_(source.config()), packed_(runtime::PackWeights(source, {})), texts_(texts), stop_(stop) {
    for (const std::vector<int>& text : texts) {
      starts_.push_back(tokens_);
      tokens_ += text.size();
      longest_ = std::max(longest_, text.size());
    }
    for (std::size_t t = 0; t < tokens_; t += kEvery) looked_at_.push_back(t);
    std::vector<float> states = Embedded(packed_.embedding);
    for (const PackedLayer& layer : packed_.layers) {
      before_.push_back(states);
      RunLayer(layer, states);
    }
    original_ = Logits(states, packed_.head_or_embedding());
    last_ = std::move(states);
  }

  /// The divergence when matrix `unit` (0 qkv, 1 o, 2 gate and up, 3 down) of a layer is another.
  double Divergence(std::size_t layer, std::size_t unit, PackedMatrix matrix) const {
    PackedLayer changed = packed_.layers[layer];
    (unit == 0   ? changed.query_key_value
     : unit == 1 ? changed.attention_output
     : unit == 2 ? changed.gate_up
                 : changed.down) = std::move(matrix);
    std::vector<float> states = before_[layer];
    RunLayer(changed, states);
    for (std::size_t i = layer + 1; i < packed_.layers.size(); ++i) RunLayer(packed_.layers[i], states);
    return MeanDivergence(Logits(states, packed_.head_or_embedding()));
  }

  /// When the embedding, and with it a tied head, is another.
  double EmbeddingDivergence(const runtime::Linear& embedding) const {
    std::vector<float> states = Embedded(embedding);
    for (const PackedLayer& layer : packed_.layers) RunLayer(layer, states);
    return MeanDivergence(Logits(states, config_.tie_word_embeddings ? embedding : packed_.head));
  }
  /// When a head that is stored by itself is another.
  double HeadDivergence(const runtime::Linear& head) const { return MeanDivergence(Logits(last_, head)); }

 private:
  std::size_t Hidden() const { return static_cast<std::size_t>(config_.hidden_size); }
  std::size_t Vocabulary() const { return static_cast<std::size_t>(config_.vocab_size); }

  std::vector<float> Embedded(const runtime::Linear& embedding) const {
    std::vector<float> states(tokens_ * Hidden());
    std::size_t row = 0;
    for (const std::vector<int>& text : texts_)
      for (const int token : text)
        embedding.Row(static_cast<std::size_t>(token), states.data() + row++ * Hidden());
    return states;
  }

  void RunLayer(const PackedLayer& layer, std::vector<float>& states) const {
    stop_.ThrowIfRequested("the sensitivities");
    const runtime::LayerPass pass(config_, layer, longest_);
    for (std::size_t t = 0; t < texts_.size(); ++t)
      pass.Run(texts_[t].size(), states.data() + starts_[t] * Hidden());
  }

  /// [positions looked at, vocab_size]
  std::vector<float> Logits(const std::vector<float>& states, const runtime::Linear& head) const {
    std::vector<float> normed(looked_at_.size() * Hidden()), logits(looked_at_.size() * Vocabulary());
    for (std::size_t i = 0; i < looked_at_.size(); ++i)
      runtime::Kernels().rms_norm(states.data() + looked_at_[i] * Hidden(), packed_.final_norm.data(),
                                  Hidden(), static_cast<float>(config_.rms_norm_eps),
                                  normed.data() + i * Hidden());
    head.Multiply(normed.data(), looked_at_.size(), {}, logits.data());
    return logits;
  }

  double MeanDivergence(const std::vector<float>& changed) const {
    std::vector<double> by_position(looked_at_.size());
    ParallelFor(looked_at_.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        by_position[i] = KullbackLeibler(std::span(original_).subspan(i * Vocabulary(), Vocabulary()),
                                         std::span(changed).subspan(i * Vocabulary(), Vocabulary()));
    });
    double sum = 0;
    for (const double value : by_position) sum += value;
    return sum / static_cast<double>(by_position.size());
  }

  const model::ModelConfig& config_;
  runtime::PackedWeights packed_;
  std::span<const std::vector<int>> texts_;
  const StopToken& stop_;
  std::vector<std::size_t> starts_, looked_at_;
  std::size_t tokens_ = 0, longest_ = 0;
  std::vector<std::vector<float>> before_;  // residual states before each layer
  std::vector<float> last_;                 // behind the last
  std::vector<float> original_;             // logits
};

/// A table rounded to a type, held in as little as that allows.
PackedMatrix RoundedTable(const model::WeightSource& source, const model::TensorSpec& spec,
                          io::BlockType type) {
  const std::size_t rows = static_cast<std::size_t>(model::Rows(spec)), columns = model::Columns(spec),
                    row_bytes = io::RowBytes(type, columns);
  const EncodedLinear table = Encode(type, source.Read(spec).values, static_cast<std::int64_t>(columns));
  PackedMatrix matrix = PackedMatrix::Empty(PackedMatrix::HeldAs(type), rows, columns);
  matrix.PutRows(type, 0, rows, [&](std::size_t row) {
    return std::span<const std::byte>(table.blocks).subspan(row * row_bytes, row_bytes);
  });
  return matrix;
}

}  // namespace

std::vector<std::vector<std::string>> FusedLinears(const model::ModelConfig& config) {
  std::vector<std::vector<std::string>> units;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer)
    for (const std::vector<const char*>& names :
         std::vector<std::vector<const char*>>{{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                               {"self_attn.o_proj"},
                                               {"mlp.gate_proj", "mlp.up_proj"},
                                               {"mlp.down_proj"}}) {
      std::vector<std::string>& unit = units.emplace_back();
      for (const char* name : names) unit.push_back(fmt::format("model.layers.{}.{}.weight", layer, name));
    }
  return units;
}

std::vector<double> MeasureSensitivity(const model::WeightSource& source, const ReplacedLinear& replaced,
                                       std::span<const std::vector<int>> texts, MetricSink& sink,
                                       const StopToken& stop) {
  std::map<std::string, std::int64_t> columns;
  for (const model::TensorSpec& spec : model::ListTensors(source.config()))
    columns[spec.name] = spec.shape.back();
  Sensitivity sensitivity(source, texts, stop);
  const std::vector<std::vector<std::string>> units = FusedLinears(source.config());
  std::vector<double> divergences;
  for (std::size_t u = 0; u < units.size(); ++u) {
    std::vector<float> values;
    for (const std::string& name : units[u]) {
      const std::vector<float> linear = replaced(name);
      values.insert(values.end(), linear.begin(), linear.end());
    }
    const auto in = static_cast<std::size_t>(columns.at(units[u].front()));
    divergences.push_back(sensitivity.Divergence(
        u / 4, u % 4, PackedMatrix::Pack(values, values.size() / in, in, runtime::WeightType::kFloat32)));
    sink.Progress("sensitivity", static_cast<std::int64_t>(u + 1), static_cast<std::int64_t>(units.size()),
                  "units");
  }
  return divergences;
}

std::map<std::string, std::vector<double>> MeasureTableSensitivity(const model::WeightSource& source,
                                                                   std::span<const io::BlockType> types,
                                                                   std::span<const std::vector<int>> texts,
                                                                   MetricSink& sink, const StopToken& stop) {
  const Sensitivity sensitivity(source, texts, stop);
  std::map<std::string, std::vector<double>> divergences;
  for (const model::TensorSpec& spec : model::ListTensors(source.config())) {
    if (!IsTable(spec)) continue;
    for (const io::BlockType type : types) {
      const runtime::Linear table = RoundedTable(source, spec, type);
      divergences[spec.name].push_back(spec.role == model::TensorRole::kEmbedding
                                           ? sensitivity.EmbeddingDivergence(table)
                                           : sensitivity.HeadDivergence(table));
      sink.Progress("table sensitivity", static_cast<std::int64_t>(divergences[spec.name].size()),
                    static_cast<std::int64_t>(types.size()), spec.name);
    }
  }
  return divergences;
}

}  // namespace forge::compress
