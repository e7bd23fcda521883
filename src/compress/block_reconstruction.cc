// SPDX-License-Identifier: Apache-2.0
#include "compress/block_reconstruction.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/philox.h"
#include "compress/linear_storage.h"
#include "runtime/layer_pass.h"
#include "train/engine.h"

namespace forge::compress {
namespace {

constexpr int kMicroBatches = 2;
constexpr std::size_t kShortestPart = 16;  // tokens of a text that are worth a place at the end of a row

/// A layer as a model of its own, so that all that knows models can work on it.
model::ModelConfig ConfigOfLayer(model::ModelConfig config) {
  config.num_hidden_layers = 1;
  config.vocab_size = 1;
  config.tie_word_embeddings = true;
  return config;
}

std::string NameInLayerModel(const std::string& name) {
  constexpr std::string_view kLayers = "model.layers.";
  return std::string(kLayers) + "0" + name.substr(name.find('.', kLayers.size()));
}

model::ModelWeights WeightsOfLayer(const model::WeightSource& source, int layer) {
  model::ModelWeights weights;
  for (const model::TensorSpec& spec : model::ListTensors(source.config()))
    if (spec.layer == layer) weights[NameInLayerModel(spec.name)] = source.Read(spec);
  for (const model::TensorSpec& spec : model::ListTensors(ConfigOfLayer(source.config())))
    if (!weights.contains(spec.name))
      weights[spec.name] = {spec.shape, std::vector<float>(static_cast<std::size_t>(model::Rows(spec)) *
                                                           static_cast<std::size_t>(model::Columns(spec)))};
  return weights;
}

/// states [tokens, hidden_size] become those behind the layer that `weights` are.
void PassLayer(const model::ModelConfig& config, const model::ModelWeights& weights, const TextRows& rows,
               std::vector<float>& states, const StopToken& stop) {
  const std::unique_ptr<model::WeightSource> source = model::WeightsInMemory(config, weights);
  const runtime::PackedLayer packed =
      runtime::PackLayer(*source, 0, {.linears = runtime::WeightType::kFloat32, .embeddings = {}});
  const runtime::LayerPass pass(config, packed, rows.longest());
  const auto hidden = static_cast<std::size_t>(config.hidden_size);
  for (std::size_t text = 0; text < rows.texts(); ++text) {
    stop.ThrowIfRequested("the compression of a layer");
    pass.Run(rows.length(text), rows.At(states, text, hidden));
  }
}

double Power(const float* row, std::size_t width) {
  double power = 0;
  for (std::size_t i = 0; i < width; ++i) power += double{row[i]} * double{row[i]};
  return std::max(power, 1e-30);
}

/// Which parts of which texts the rows of each micro-batch hold: whole texts in an order drawn anew for each
/// round, cut where a row ends.
class BatchPlan {
 public:
  struct Part {
    std::size_t text, length;
  };
  BatchPlan(const TextRows& rows, const BlockSettings& settings)
      : length_(static_cast<std::size_t>(std::max(1, settings.tokens / kMicroBatches))) {
    std::vector<std::size_t> order(rows.fitted());
    std::uint64_t round = 0;
    std::size_t next = order.size();
    for (int i = 0; i < settings.steps * kMicroBatches; ++i) {
      std::vector<Part>& parts = batches_.emplace_back();
      std::size_t left = length_;
      do {
        if (next == order.size()) {
          std::iota(order.begin(), order.end(), std::size_t{0});
          Random random(settings.seed, "compress/block", round++);
          for (std::size_t k = order.size(); k > 1; --k)
            std::swap(order[k - 1], order[random.Below(static_cast<std::uint32_t>(k))]);
          next = 0;
        }
        const std::size_t text = order[next++];
        parts.push_back({text, std::min(left, rows.length(text))});
        left -= parts.back().length;
      } while (left >= kShortestPart);
    }
  }
  std::size_t length() const { return length_; }
  const std::vector<Part>& at(int batch) const { return batches_[static_cast<std::size_t>(batch)]; }
  /// Tokens of the micro-batches of a step.
  std::size_t TokensOf(int step) const {
    std::size_t tokens = 0;
    for (int micro = 0; micro < kMicroBatches; ++micro)
      for (const Part& part : at(step * kMicroBatches + micro)) tokens += part.length;
    return tokens;
  }

 private:
  std::size_t length_;
  std::vector<std::vector<Part>> batches_;
};

QuantisedLinear FromTernary(const model::TernaryTensor& ternary) {
  QuantisedLinear linear{.out = ternary.shape[0],
                         .in = ternary.shape[1],
                         .group = ternary.group,
                         .values = model::Dequantize(ternary).values,
                         .levels = {},
                         .blocks = {}};
  for (const float scale : ternary.scales) linear.levels.push_back(PlaneLevels(scale));
  return linear;
}

}  // namespace

BlockReconstruction::BlockReconstruction(const model::WeightSource& source, const TextRows& rows,
                                         std::vector<float> states, const BlockSettings& settings,
                                         const StopToken& stop)
    : source_(source), rows_(rows), settings_(settings), stop_(stop), originals_(std::move(states)) {}

void BlockReconstruction::Begin(int layer, const std::vector<float>& states) {
  layer_ = layer;
  inputs_ = states;
  weights_ = WeightsOfLayer(source_, layer);
  PassLayer(ConfigOfLayer(source_.config()), weights_, rows_, originals_, stop_);
}

double BlockReconstruction::Error(const std::vector<float>& states) const {
  const auto hidden = static_cast<std::size_t>(source_.config().hidden_size);
  double sum = 0;
  std::size_t tokens = 0;
  for (std::size_t text = rows_.fitted(); text < rows_.texts(); ++text)
    for (std::size_t t = 0; t < rows_.length(text); ++t, ++tokens) {
      const float* state = rows_.At(states, text, hidden) + t * hidden;
      const float* target = rows_.At(originals_, text, hidden) + t * hidden;
      double error = 0;
      for (std::size_t i = 0; i < hidden; ++i) {
        const double difference = double{state[i]} - double{target[i]};
        error += difference * difference;
      }
      sum += error / Power(target, hidden);
    }
  return sum / static_cast<double>(tokens);
}

void BlockReconstruction::Train(model::TernaryWeights& ternary) const {
  const auto hidden = static_cast<std::size_t>(source_.config().hidden_size);
  const BatchPlan plan(rows_, settings_);
  train::JobEnvironment environment{.device = settings_.device, .stop = &stop_};
  train::LayerJob job{.config = ConfigOfLayer(source_.config()), .weights = &weights_, .ternary = &ternary};
  job.steps = settings_.steps;
  job.micro_batches = kMicroBatches;
  job.optimizer.learning_rate = settings_.learning_rate;
  job.optimizer.warmup_steps = std::clamp(job.steps / 20, 1, 20);
  job.optimizer.max_gradient_norm = 0;  // all is in units of Adam's own
  job.precision = settings_.precision;
  job.environment = &environment;
  job.batch = [&](int step, int micro) {
    const std::size_t length = plan.length();
    train::LayerBatch batch{.rows = 1, .length = static_cast<int>(length)};
    batch.inputs.resize(length * hidden);
    batch.targets.resize(length * hidden);
    batch.weights.resize(length);
    const double share = 1.0 / static_cast<double>(plan.TokensOf(step));
    std::size_t at = 0;
    for (const BatchPlan::Part& part : plan.at(step * kMicroBatches + micro)) {
      std::copy_n(rows_.At(inputs_, part.text, hidden), part.length * hidden,
                  batch.inputs.data() + at * hidden);
      std::copy_n(rows_.At(originals_, part.text, hidden), part.length * hidden,
                  batch.targets.data() + at * hidden);
      for (std::size_t t = 0; t < part.length; ++t, ++at) {
        batch.positions.push_back(static_cast<int>(t));
        batch.weights[at] = static_cast<float>(share / Power(batch.targets.data() + at * hidden, hidden));
      }
    }
    for (int t = 0; at < length; ++at, ++t) batch.positions.push_back(t);  // zeros, a text by themselves
    return batch;
  };
  train::OpenEngine().TuneLayer(job);
}

BlockReport BlockReconstruction::End(std::vector<BlockLinear>& linears, std::vector<float>& states) {
  model::TernaryWeights ternary;
  for (const BlockLinear& linear : linears)
    ternary[NameInLayerModel(linear.name)] = ToTernary(linear.quantised);
  BlockReport report{.layer = layer_, .before = Error(states)};
  Train(ternary);
  for (const auto& [name, tensor] : ternary) weights_.at(name) = model::Dequantize(tensor);
  std::vector<float> trained = inputs_;
  PassLayer(ConfigOfLayer(source_.config()), weights_, rows_, trained, stop_);
  report.after = Error(trained);
  report.kept = report.after < report.before;
  if (!report.kept) return report;
  states = std::move(trained);
  for (BlockLinear& linear : linears)
    linear.quantised = FromTernary(ternary.at(NameInLayerModel(linear.name)));
  return report;
}

std::uint64_t PlanBlockMemory(const model::ModelConfig& config, std::size_t tokens,
                              const BlockSettings& settings) {
  const auto hidden = static_cast<std::uint64_t>(config.hidden_size),
             inner = static_cast<std::uint64_t>(config.intermediate_size),
             query = static_cast<std::uint64_t>(config.query_size()),
             qkv = query + 2 * static_cast<std::uint64_t>(config.key_value_size());
  const std::uint64_t layer = hidden * (qkv + query + 3 * inner);
  const auto step = static_cast<std::uint64_t>(settings.tokens);
  // Streams; the layer, its values and their copy for the products, gradients of both kinds, u and its
  // moments; what a step keeps of its tokens (train/memory_plan.cc) and the scores of attention.
  return sizeof(float) * (2 * tokens * hidden + 8 * layer + step * (14 * hidden + 8 * inner + 10 * query) +
                          step * (step / kMicroBatches));
}

}  // namespace forge::compress
