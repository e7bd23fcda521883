// SPDX-License-Identifier: Apache-2.0
#include "compress/layerwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "compress/block_reconstruction.h"
#include "compress/input_gram.h"
#include "compress/text_rows.h"
#include "runtime/layer_pass.h"

namespace forge::compress {
namespace {

using runtime::PackedMatrix;

constexpr const char* kNames[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                  "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                  "mlp.down_proj"};

/// Moments of one kind of input, of the texts for fitting and of the others.
struct Moments {
  explicit Moments(std::size_t width) : fitted(width), held_out(width) {}
  InputGram fitted, held_out;
  InputGram& Of(bool is_held_out) { return is_held_out ? held_out : fitted; }
};

std::int64_t GroupOf(const LayerwiseOptions::Choice& choice, const LinearToQuantise& linear) {
  return choice.group == kWholeRow ? linear.in : choice.group;
}

double Power(const LinearToQuantise& linear, const std::vector<float>& gram) {
  return OutputError({linear.weights.begin(), linear.weights.end()}, static_cast<std::size_t>(linear.out),
                     gram);
}

class Layerwise {
 public:
  Layerwise(const model::WeightSource& source, std::span<const std::vector<int>> texts,
            std::span<const std::vector<int>> held_out, const LayerwiseOptions& options,
            const LinearDone& done, MetricSink& sink, const StopToken& stop)
      : source_(source),
        config_(source.config()),
        rows_(texts, held_out),
        options_(options),
        done_(done),
        sink_(sink),
        stop_(stop) {
    for (model::TensorSpec& spec : model::ListTensors(config_)) specs_.emplace(spec.name, spec);
  }

  void Embed(const model::Tensor& embedding, std::span<const std::vector<int>> texts,
             std::span<const std::vector<int>> held_out) {
    const std::size_t hidden = Hidden();
    for (const auto part : {texts, held_out})
      for (const std::vector<int>& text : part)
        for (const int token : text) {
          FORGE_CHECK(token >= 0 && token < config_.vocab_size);
          const float* row = embedding.values.data() + static_cast<std::size_t>(token) * hidden;
          states_.insert(states_.end(), row, row + hidden);
        }
    if (options_.blocks.steps > 0) blocks_.emplace(source_, rows_, states_, options_.blocks, stop_);
  }

  void Run() {
    for (int layer = 0; layer < config_.num_hidden_layers; ++layer) {
      sink_.Progress("compress", layer, config_.num_hidden_layers, "layers");
      if (blocks_) blocks_->Begin(layer, states_);
      RunLayer(layer);
      if (!unfinished_.empty()) Reconstruct();
    }
    sink_.Progress("compress", config_.num_hidden_layers, config_.num_hidden_layers, "layers");
  }

 private:
  std::size_t Hidden() const { return static_cast<std::size_t>(config_.hidden_size); }
  std::size_t QuerySize() const { return static_cast<std::size_t>(config_.query_size()); }
  std::size_t Intermediate() const { return static_cast<std::size_t>(config_.intermediate_size); }

  void RunLayer(int layer) {
    runtime::PackedLayer packed =
        runtime::PackLayer(source_, layer, {.linears = runtime::WeightType::kFloat32, .embeddings = {}});
    const runtime::LayerPass pass(config_, packed, rows_.longest());
    std::vector<float> inner(rows_.longest() * Hidden());
    {
      const std::vector<Part> parts = Ask(layer, {0, 1, 2});
      Moments moments(Hidden());
      if (NeedsMoments(parts))
        ForTexts([&](std::size_t t) {
          pass.AttentionInput(State(t), rows_.length(t), inner.data());
          moments.Of(rows_.IsHeldOut(t)).Add(inner.data(), rows_.length(t));
        });
      packed.query_key_value = Quantise(parts, moments);
    }
    {
      std::vector<float> attended(rows_.tokens() * QuerySize());
      const std::vector<Part> parts = Ask(layer, {3});
      const bool needs_moments = NeedsMoments(parts);
      Moments moments(QuerySize());
      ForTexts([&](std::size_t t) {
        pass.AttentionInput(State(t), rows_.length(t), inner.data());
        float* rows = rows_.At(attended, t, QuerySize());
        pass.Attended(inner.data(), rows_.length(t), rows);
        if (needs_moments) moments.Of(rows_.IsHeldOut(t)).Add(rows, rows_.length(t));
      });
      packed.attention_output = Quantise(parts, moments);
      ForTexts([&](std::size_t t) {
        pass.AddAttentionOutput(rows_.At(attended, t, QuerySize()), rows_.length(t), State(t));
      });
    }
    {
      const std::vector<Part> parts = Ask(layer, {4, 5});
      Moments moments(Hidden());
      if (NeedsMoments(parts))
        ForTexts([&](std::size_t t) {
          pass.MlpInput(State(t), rows_.length(t), inner.data());
          moments.Of(rows_.IsHeldOut(t)).Add(inner.data(), rows_.length(t));
        });
      packed.gate_up = Quantise(parts, moments);
    }
    std::vector<float> gated(rows_.tokens() * Intermediate());
    const std::vector<Part> parts = Ask(layer, {6});
    const bool needs_moments = NeedsMoments(parts);
    Moments moments(Intermediate());
    ForTexts([&](std::size_t t) {
      pass.MlpInput(State(t), rows_.length(t), inner.data());
      float* rows = rows_.At(gated, t, Intermediate());
      pass.Gated(inner.data(), rows_.length(t), rows);
      if (needs_moments) moments.Of(rows_.IsHeldOut(t)).Add(rows, rows_.length(t));
    });
    packed.down = Quantise(parts, moments);
    ForTexts(
        [&](std::size_t t) { pass.AddDown(rows_.At(gated, t, Intermediate()), rows_.length(t), State(t)); });
  }

  /// Trains the linears of a layer together, and hands them on.
  void Reconstruct() {
    std::vector<BlockLinear> linears;
    for (Unfinished& linear : unfinished_)
      linears.push_back({linear.spec->name, std::move(linear.quantised)});
    const BlockReport report = blocks_->End(linears, states_);
    sink_.Log(fmt::format("compress: layer {}: error of the held-out stream {:.4f}, trained {:.4f}{}",
                          report.layer, report.before, report.after, report.kept ? "" : ", not kept"));
    for (std::size_t i = 0; i < linears.size(); ++i) {
      unfinished_[i].report.block = report;
      done_(*unfinished_[i].spec, linears[i].quantised, unfinished_[i].report);
    }
    unfinished_.clear();
  }

  template <class Work>
  void ForTexts(const Work& work) {
    for (std::size_t t = 0; t < rows_.texts(); ++t) {
      stop_.ThrowIfRequested("the compression of a layer");
      work(t);
    }
  }
  float* State(std::size_t text) { return rows_.At(states_, text, Hidden()); }

  /// What is to become of a linear.
  struct Part {
    const model::TensorSpec* spec;
    LayerwiseOptions::Choice choice;
    std::optional<std::vector<float>> values;  // known already
  };

  std::vector<Part> Ask(int layer, const std::vector<int>& which) const {
    std::vector<Part> parts;
    for (const int index : which) {
      Part part{&specs_.at(fmt::format("model.layers.{}.{}.weight", layer, kNames[index])), {}, {}};
      part.choice = options_.choose(*part.spec);
      if (part.choice.quantiser == nullptr)
        part.values = source_.Read(*part.spec).values;
      else if (options_.known)
        part.values = options_.known(*part.spec);
      parts.push_back(std::move(part));
    }
    return parts;
  }
  static bool NeedsMoments(const std::vector<Part>& parts) {
    return !std::all_of(parts.begin(), parts.end(), [](const Part& part) { return part.values.has_value(); });
  }

  /// The linears that share an input, quantised, as one matrix.
  PackedMatrix Quantise(const std::vector<Part>& parts, Moments& moments) {
    std::vector<float> values;
    if (NeedsMoments(parts)) {
      const std::vector<float> h = moments.fitted.Diagonal(), held_out = moments.held_out.TakeMean();
      const std::vector<float> gram = moments.fitted.TakeMean();
      FeedbackFactor factor;
      if (options_.with_feedback) factor = FactorGram(gram, h.size(), options_.damping);
      for (const Part& part : parts) {
        stop_.ThrowIfRequested("the compression of a layer");
        if (part.values) {
          values.insert(values.end(), part.values->begin(), part.values->end());
          continue;
        }
        const model::Tensor tensor = source_.Read(*part.spec);
        const LinearToQuantise linear{tensor.values, part.spec->shape[0], part.spec->shape[1], h};
        const QuantisedLinear result = QuantiseOne(linear, part.choice, gram, held_out, factor, *part.spec);
        values.insert(values.end(), result.values.begin(), result.values.end());
      }
    } else {
      for (const Part& part : parts) values.insert(values.end(), part.values->begin(), part.values->end());
    }
    const auto in = static_cast<std::size_t>(parts[0].spec->shape[1]);
    return PackedMatrix::Pack(values, values.size() / in, in, runtime::WeightType::kFloat32);
  }

  QuantisedLinear QuantiseOne(const LinearToQuantise& linear, const LayerwiseOptions::Choice& choice,
                              const std::vector<float>& gram, const std::vector<float>& held_out,
                              const FeedbackFactor& factor, const model::TensorSpec& spec) {
    const auto out = static_cast<std::size_t>(linear.out);
    const double power = std::max(Power(linear, held_out), 1e-30);
    QuantisedLinear kept = QuantiseNearest(linear, *choice.quantiser, GroupOf(choice, linear));
    LinearReport report{.name = spec.name, .quantiser = std::string(choice.quantiser->name)};
    report.nearest_error = report.error = OutputError(ErrorsOf(linear, kept), out, held_out) / power;
    if (options_.with_feedback) {
      QuantisedLinear fed = QuantiseWithFeedback(linear, *choice.quantiser, GroupOf(choice, linear), factor);
      if (options_.polish_rounds > 0) PolishCodes(linear, gram, options_.polish_rounds, fed);
      const double error = OutputError(ErrorsOf(linear, fed), out, held_out) / power;
      if (error < report.error) {
        report.error = error;
        report.kept_feedback = true;
        kept = std::move(fed);
      }
    }
    for (const LayerwiseOptions::Choice& other : options_.compare) {
      const auto& blocks = other.quantiser->blocks;
      report.compared.push_back(blocks && linear.in % blocks->width() != 0
                                    ? std::numeric_limits<double>::quiet_NaN()
                                    : OutputError(ErrorsOf(linear, QuantiseNearest(linear, *other.quantiser,
                                                                                   GroupOf(other, linear))),
                                                  out, held_out) /
                                          power);
    }
    if (blocks_)
      unfinished_.push_back({&spec, kept, report});
    else
      done_(spec, kept, report);
    return kept;
  }

  const model::WeightSource& source_;
  const model::ModelConfig& config_;
  TextRows rows_;
  const LayerwiseOptions& options_;
  const LinearDone& done_;
  MetricSink& sink_;
  const StopToken& stop_;
  std::map<std::string, model::TensorSpec> specs_;
  std::vector<float> states_;  // [tokens, hidden_size]
  struct Unfinished {
    const model::TensorSpec* spec;
    QuantisedLinear quantised;
    LinearReport report;
  };
  std::vector<Unfinished> unfinished_;  // linears of this layer that wait for the others
  std::optional<BlockReconstruction> blocks_;
};

}  // namespace

void QuantiseLayerwise(const model::WeightSource& source, const model::Tensor& embedding,
                       std::span<const std::vector<int>> texts, std::span<const std::vector<int>> held_out,
                       const LayerwiseOptions& options, const LinearDone& done, MetricSink& sink,
                       const StopToken& stop) {
  if (texts.empty() || held_out.empty())
    throw Error({.what = "cannot calibrate the compression",
                 .why = texts.empty() ? "there is no calibration text" : "there is no text to hold out",
                 .fix = "give at least two texts"});
  Layerwise layerwise(source, texts, held_out, options, done, sink, stop);
  layerwise.Embed(embedding, texts, held_out);
  layerwise.Run();
}

std::uint64_t PlanLayerwiseMemory(const model::ModelConfig& config, std::size_t tokens) {
  const auto hidden = static_cast<std::uint64_t>(config.hidden_size),
             inner = static_cast<std::uint64_t>(config.intermediate_size),
             query = static_cast<std::uint64_t>(config.query_size()),
             qkv = query + 2 * static_cast<std::uint64_t>(config.key_value_size());
  const std::uint64_t widest = std::max({hidden, inner, query});
  const std::uint64_t layer = hidden * (qkv + query + 3 * inner);
  // States and the widest input; moments of two kinds, the factor and its working copy; the layer, one linear
  // with values, errors and levels of two attempts.
  return sizeof(float) *
         (tokens * (hidden + std::max(inner, query)) + 5 * widest * widest + layer + 8 * hidden * inner);
}

}  // namespace forge::compress
