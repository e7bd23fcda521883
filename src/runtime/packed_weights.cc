// SPDX-License-Identifier: Apache-2.0
#include "runtime/packed_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"

namespace forge::runtime {
namespace {

Activations Resolve(const model::WeightSource& source, const PackOptions& options) {
  if (options.activations != Activations::kInt8IfTernary) return options.activations;
  const std::vector<model::TensorSpec> specs = model::ListTensors(source.config());
  const bool has_ternary = !options.linears && std::any_of(specs.begin(), specs.end(), [&](const auto& spec) {
    return model::IsLinear(spec) && (source.TernaryGroup(spec) != 0 || source.TwoPlaneGroup(spec) != 0);
  });
  return has_ternary ? Activations::kInt8 : Activations::kFloat32;
}

class Packer {
 public:
  Packer(const model::WeightSource& source, const PackOptions& options)
      : source_(source),
        activations_(Resolve(source, options)),
        ternary_(options.ternary),
        rotates_head_(options.rotates_head) {
    for (model::TensorSpec& spec : model::ListTensors(source.config())) specs_.emplace(spec.name, spec);
  }

  Activations activations() const { return activations_; }

  std::vector<float> Values(const std::string& name) const { return source_.Read(specs_.at(name)).values; }

  /// The named matrices, one below the other.
  Linear Pack(const std::vector<std::string>& names, std::optional<WeightType> type, bool is_head = false) {
    std::vector<const model::TensorSpec*> specs;
    for (const std::string& name : names) specs.push_back(&specs_.at(name));
    if (!type && HaveOneTernaryGroup(specs)) return PackTernary(specs);
    if (!type && activations_ == Activations::kInt8 && HaveTwoPlanesOfOneGroup(specs))
      return PackTwoPlanes(specs);
    const std::size_t in = model::Columns(*specs.front());
    const WeightType held = type.value_or(StoredAlike(specs));
    const bool has_blocks =
        held == WeightType::kInt8 || held == WeightType::kInt4 || held == WeightType::kInt4Minimum;
    if (has_blocks && in % 32 != 0)
      throw Error({.what = "cannot use 8-bit or 4-bit weights for " + names.front(),
                   .why = fmt::format("its input size {} is not a multiple of 32", in),
                   .fix = "use float32 or bfloat16 weights for this model"});
    if (is_head && rotates_head_ && activations_ == Activations::kInt8 && held == WeightType::kInt8)
      return PackRotated(specs);
    if (activations_ == Activations::kInt8 && (held == WeightType::kInt8 || held == WeightType::kInt4))
      return PackCodes(specs, held == WeightType::kInt8 ? io::BlockType::kQ8_0 : io::BlockType::kQ4_0,
                       is_head);
    PackedMatrix matrix = PackedMatrix::Empty(held, OutOf(specs), in);
    std::size_t first = 0;
    for (const model::TensorSpec* spec : specs) {
      Put(*spec, first, matrix);
      first += static_cast<std::size_t>(model::Rows(*spec));
    }
    return matrix;
  }

 private:
  static std::size_t OutOf(const std::vector<const model::TensorSpec*>& specs) {
    std::int64_t rows = 0;
    for (const model::TensorSpec* spec : specs) rows += model::Rows(*spec);
    return static_cast<std::size_t>(rows);
  }

  bool HaveOneTernaryGroup(const std::vector<const model::TensorSpec*>& specs) const {
    const int group = source_.TernaryGroup(*specs.front());
    return group != 0 && std::all_of(specs.begin(), specs.end(), [&](const model::TensorSpec* spec) {
             return source_.TernaryGroup(*spec) == group;
           });
  }

  bool HaveTwoPlanesOfOneGroup(const std::vector<const model::TensorSpec*>& specs) const {
    const int group = source_.TwoPlaneGroup(*specs.front());
    return group != 0 && std::all_of(specs.begin(), specs.end(), [&](const model::TensorSpec* spec) {
             return source_.TwoPlaneGroup(*spec) == group;
           });
  }

  WeightType StoredAlike(const std::vector<const model::TensorSpec*>& specs) const {
    std::optional<WeightType> common;
    for (const model::TensorSpec* spec : specs) {
      const std::optional<model::StoredRows> stored = source_.FindStoredRows(*spec);
      const WeightType held = stored ? PackedMatrix::HeldAs(stored->type) : WeightType::kFloat32;
      if (common.value_or(held) != held) return WeightType::kFloat32;
      common = held;
    }
    return *common;
  }

  /// The rows of one tensor into the matrix, from row `first` on.
  void Put(const model::TensorSpec& spec, std::size_t first, PackedMatrix& matrix) const {
    const std::optional<model::StoredRows> stored = source_.FindStoredRows(spec);
    const bool is_exact = stored && (matrix.type() == WeightType::kFloat32 ||
                                     PackedMatrix::HeldAs(stored->type) == matrix.type());
    if (is_exact) {
      matrix.PutRows(stored->type, first, static_cast<std::size_t>(model::Rows(spec)),
                     [&](std::size_t row) { return stored->row(static_cast<std::int64_t>(row)); });
      return source_.Release(spec);
    }
    model::VisitRows(source_, spec, 16, [&](std::span<const float> rows) {
      matrix.PutRows(first, rows);
      first += rows.size() / matrix.in();
    });
  }

  /// 8-bit or 4-bit weights for int8 activations: stored so, or rounded to it. A head of 8 bits is held in
  /// halves.
  CodeMatrix PackCodes(const std::vector<const model::TensorSpec*>& specs, io::BlockType type, bool is_head) {
    const std::size_t in = model::Columns(*specs.front());
    CodeMatrix matrix = is_head && type == io::BlockType::kQ8_0
                            ? CodeMatrix::EmptyHalves(OutOf(specs), in, arena_)
                            : CodeMatrix::Empty(type, OutOf(specs), in, arena_);
    std::size_t first = 0;
    for (const model::TensorSpec* spec : specs) {
      const std::optional<model::StoredRows> stored = source_.FindStoredRows(*spec);
      if (stored && stored->type == type) {
        const auto rows = static_cast<std::size_t>(model::Rows(*spec));
        matrix.PutRows(first, rows,
                       [&](std::size_t row) { return stored->row(static_cast<std::int64_t>(row)); });
        source_.Release(*spec);
        first += rows;
        continue;
      }
      model::VisitRows(source_, *spec, 16, [&](std::span<const float> rows) {
        matrix.PutRows(first, rows.size() / in, [&](std::size_t row) {
          thread_local std::vector<std::byte> bytes;
          bytes.resize(io::RowBytes(type, in));
          io::EncodeBlocks(type, rows.subspan(row * in, in), bytes);
          return std::span<const std::byte>(bytes);
        });
        first += rows.size() / in;
      });
    }
    return matrix;
  }

  CodeMatrix PackRotated(const std::vector<const model::TensorSpec*>& specs) {
    const std::size_t in = model::Columns(*specs.front());
    CodeMatrix matrix = CodeMatrix::EmptyRotated(OutOf(specs), in, arena_);
    std::size_t first = 0;
    for (const model::TensorSpec* spec : specs)
      model::VisitRows(source_, *spec, 16, [&](std::span<const float> rows) {
        matrix.PutRotated(first, rows);
        first += rows.size() / in;
      });
    return matrix;
  }

  CodeMatrix PackTwoPlanes(const std::vector<const model::TensorSpec*>& specs) {
    std::vector<std::int8_t> codes[2];
    std::vector<float> scales[2];
    for (const model::TensorSpec* spec : specs)
      for (int plane = 0; plane < 2; ++plane) {
        const model::TernaryTensor tensor = source_.ReadTernaryPlane(*spec, plane);
        codes[plane].insert(codes[plane].end(), tensor.codes.begin(), tensor.codes.end());
        scales[plane].insert(scales[plane].end(), tensor.scales.begin(), tensor.scales.end());
      }
    const std::size_t in = model::Columns(*specs.front()),
                      group = static_cast<std::size_t>(source_.TwoPlaneGroup(*specs.front()));
    return CodeMatrix::PackTwoPlanes({codes[0], scales[0]}, {codes[1], scales[1]}, OutOf(specs), in, group,
                                     CodeMatrix::TernaryLayout(2 * in, group), arena_);
  }

  Linear PackTernary(const std::vector<const model::TensorSpec*>& specs) {
    std::vector<std::int8_t> codes;
    std::vector<float> scales;
    for (const model::TensorSpec* spec : specs) {
      const model::TernaryTensor tensor = source_.ReadTernary(*spec);
      codes.insert(codes.end(), tensor.codes.begin(), tensor.codes.end());
      scales.insert(scales.end(), tensor.scales.begin(), tensor.scales.end());
    }
    const std::size_t out = OutOf(specs), in = model::Columns(*specs.front()),
                      group = static_cast<std::size_t>(source_.TernaryGroup(*specs.front()));
    if (activations_ == Activations::kInt8 && CodeMatrix::CanHoldGroup(in, group))
      return CodeMatrix::PackTernary(codes, scales, out, in, group,
                                     CodeMatrix::TernaryLayout(in, group, ternary_), arena_);
    return PackedMatrix::PackTernary(codes, scales, out, in, group);
  }

  const model::WeightSource& source_;
  Activations activations_;
  std::optional<CodeLayout> ternary_;
  bool rotates_head_;
  WeightArena arena_;
  std::map<std::string, model::TensorSpec> specs_;
};

PackedLayer PackOneLayer(Packer& packer, const model::ModelConfig& config, int index,
                         const std::optional<WeightType>& linears) {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  PackedLayer layer;
  layer.input_norm = packer.Values(prefix + "input_layernorm.weight");
  layer.post_attention_norm = packer.Values(prefix + "post_attention_layernorm.weight");
  layer.query_key_value = packer.Pack(
      {attention + "q_proj.weight", attention + "k_proj.weight", attention + "v_proj.weight"}, linears);
  if (config.attention_bias)
    for (const char* name : {"q_proj.bias", "k_proj.bias", "v_proj.bias"}) {
      const std::vector<float> bias = packer.Values(attention + name);
      layer.query_key_value_bias.insert(layer.query_key_value_bias.end(), bias.begin(), bias.end());
    }
  if (config.qk_norm) {
    layer.query_norm = packer.Values(attention + "q_norm.weight");
    layer.key_norm = packer.Values(attention + "k_norm.weight");
  }
  layer.attention_output = packer.Pack({attention + "o_proj.weight"}, linears);
  layer.gate_up = packer.Pack({mlp + "gate_proj.weight", mlp + "up_proj.weight"}, linears);
  layer.down = packer.Pack({mlp + "down_proj.weight"}, linears);
  return layer;
}

}  // namespace

void NormHeads(const model::ModelConfig& config, const PackedLayer& layer, float* row) {
  if (!config.qk_norm) return;
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  for (int head = 0; head < config.num_attention_heads + config.num_key_value_heads; ++head, row += head_dim)
    Kernels().rms_norm(row, (head < config.num_attention_heads ? layer.query_norm : layer.key_norm).data(),
                       head_dim, static_cast<float>(config.rms_norm_eps), row);
}

bool PackedWeights::HasHeadInHalves() const {
  const CodeMatrix* codes = head_or_embedding().codes();
  return codes != nullptr && codes->layout() == CodeLayout::kHalves;
}

std::size_t PackedWeights::bytes() const {
  std::size_t total = embedding.bytes() + head.bytes() + final_norm.size() * sizeof(float);
  for (const PackedLayer& layer : layers)
    total +=
        layer.query_key_value.bytes() + layer.attention_output.bytes() + layer.gate_up.bytes() +
        layer.down.bytes() +
        (layer.input_norm.size() + layer.post_attention_norm.size() + layer.query_key_value_bias.size()) *
            sizeof(float);
  return total;
}

PackedWeights PackWeights(const model::WeightSource& source, const PackOptions& options) {
  const model::ModelConfig& config = source.config();
  model::CheckEngineComputes(config, {.rope_scaling = true, .qk_norm = true}, "the native runtime");
  PackedWeights packed{.config = config};
  Packer packer(source, options);
  packed.activations = packer.activations();
  packed.key_values = options.key_values;
  packed.greedy_head = options.greedy_head;
  const bool is_tied = config.tie_word_embeddings;
  packed.embedding = packer.Pack({"model.embed_tokens.weight"}, options.embeddings, is_tied);
  if (!is_tied) packed.head = packer.Pack({"lm_head.weight"}, options.embeddings, true);
  packed.final_norm = packer.Values("model.norm.weight");
  for (int i = 0; i < config.num_hidden_layers; ++i)
    packed.layers.push_back(PackOneLayer(packer, config, i, options.linears));
  return packed;
}

PackedLayer PackLayer(const model::WeightSource& source, int layer, const PackOptions& options) {
  model::CheckEngineComputes(source.config(), {.rope_scaling = true, .qk_norm = true}, "the native runtime");
  Packer packer(source, options);
  return PackOneLayer(packer, source.config(), layer, options.linears);
}

PackedWeights PackWeights(const model::ModelConfig& config, const model::ModelWeights& weights,
                          const PackOptions& options, const model::TernaryWeights& ternary) {
  return PackWeights(*model::WeightsInMemory(config, weights, &ternary), options);
}

}  // namespace forge::runtime
