// SPDX-License-Identifier: Apache-2.0
#include "compress/rotation.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/check.h"
#include "base/hadamard.h"
#include "base/philox.h"
#include "base/thread_pool.h"

namespace forge::compress {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kFinalNorm = "model.norm.weight";

/// A rotation of rows of one size, with its signs drawn once.
class RowRotation {
 public:
  RowRotation(std::size_t size, std::uint64_t seed) {
    Random random(seed, "compress/rotation");
    for (std::size_t i = 0; i < size; ++i) signs_.push_back(random.Below(2) == 0 ? 1.0f : -1.0f);
    while (size % (2 * block_) == 0) block_ *= 2;
  }
  void Apply(std::span<float> x) const {
    FORGE_CHECK(x.size() == signs_.size());
    const float scale = 1 / std::sqrt(static_cast<float>(block_));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= signs_[i] * scale;
    HadamardBlocks(x, block_);
  }

 private:
  std::vector<float> signs_;
  std::size_t block_ = 1;
};

/// Rotates the columns [rows] of values [rows, columns] from `first` on, as many as the rotation has.
void RotateColumns(const RowRotation& rotation, std::span<float> values, std::size_t columns,
                   std::size_t first, std::size_t rows) {
  constexpr std::size_t kPiece = 64;  // columns
  ThreadPool::Global().Run((columns + kPiece - 1) / kPiece, [&](std::size_t piece) {
    std::vector<float> column(rows);
    for (std::size_t c = piece * kPiece; c < std::min(columns, (piece + 1) * kPiece); ++c) {
      for (std::size_t r = 0; r < rows; ++r) column[r] = values[(first + r) * columns + c];
      rotation.Apply(column);
      for (std::size_t r = 0; r < rows; ++r) values[(first + r) * columns + c] = column[r];
    }
  });
}

model::ModelConfig ConfigOf(model::ModelConfig config, Rotation rotation) {
  if (rotation == Rotation::kFull) config.tie_word_embeddings = false;
  return config;
}

class Rotated : public model::WeightSource {
 public:
  Rotated(const model::WeightSource& weights, Rotation rotation, std::uint64_t seed)
      : WeightSource(ConfigOf(weights.config(), rotation)),
        weights_(weights),
        rotation_(rotation),
        stream_(static_cast<std::size_t>(weights.config().hidden_size), seed),
        head_(static_cast<std::size_t>(weights.config().head_dim), seed) {
    for (model::TensorSpec& spec : model::ListTensors(weights.config())) specs_[spec.name] = std::move(spec);
  }
  std::string Name() const override { return weights_.Name(); }
  std::string StoredType(const model::TensorSpec&) const override { return "F32"; }

 private:
  void ReadStoredRows(const model::TensorSpec& spec, std::int64_t first_row,
                      std::span<float> out) const override {
    const std::lock_guard lock(mutex_);
    if (name_ != spec.name) {
      values_ = Make(spec);
      name_ = spec.name;
    }
    std::copy_n(values_.data() + static_cast<std::size_t>(first_row) * model::Columns(spec), out.size(),
                out.data());
  }

  std::vector<float> Make(const model::TensorSpec& spec) const {
    const bool is_head = spec.name == kHead;
    const auto own = specs_.find(spec.name);
    // A tied head is read from the embedding.
    std::vector<float> values =
        weights_.Read(own == specs_.end() ? specs_.at(kEmbedding) : own->second).values;
    if (rotation_ == Rotation::kNone) return values;
    const std::size_t columns = model::Columns(spec);
    const auto ends = [&](const char* with) { return spec.name.find(with) != std::string::npos; };
    if (ends(".v_proj.")) RotateHeads(values, values.size() / Outputs(spec));
    if (ends(".o_proj.weight")) {
      const auto head_dim = static_cast<std::size_t>(config().head_dim);
      ForRows(values, head_dim, [&](std::span<float> head) { head_.Apply(head); });
    }
    if (rotation_ != Rotation::kFull) return values;
    if (spec.role == model::TensorRole::kNorm) {
      if (spec.name == kFinalNorm || ends("layernorm.weight")) std::fill(values.begin(), values.end(), 1.0f);
      return values;
    }
    const bool writes = ends(".o_proj.") || ends(".down_proj.");
    if (writes) {
      RotateColumns(stream_, values, values.size() / Outputs(spec), 0, Outputs(spec));
    } else if (spec.shape.size() == 2) {
      const std::vector<float> gains = GainsOf(spec, is_head);
      ForRows(values, columns, [&](std::span<float> row) {
        for (std::size_t i = 0; i < gains.size(); ++i) row[i] *= gains[i];
        stream_.Apply(row);
      });
    }
    return values;
  }

  static std::size_t Outputs(const model::TensorSpec& spec) {
    return static_cast<std::size_t>(spec.shape[0]);
  }

  /// Of v_proj, or of its bias, where columns is 1.
  void RotateHeads(std::vector<float>& values, std::size_t columns) const {
    const auto head_dim = static_cast<std::size_t>(config().head_dim);
    for (std::size_t first = 0; first < values.size() / columns; first += head_dim)
      RotateColumns(head_, values, columns, first, head_dim);
  }

  /// The gains of the norm before a linear; none before the embedding.
  std::vector<float> GainsOf(const model::TensorSpec& spec, bool is_head) const {
    if (spec.role == model::TensorRole::kEmbedding) return {};
    if (is_head) return weights_.Read(specs_.at(kFinalNorm)).values;
    const bool is_mlp = spec.role == model::TensorRole::kMlpLinear;
    const std::string layer = "model.layers." + std::to_string(spec.layer) + ".";
    return weights_
        .Read(specs_.at(layer + (is_mlp ? "post_attention_layernorm" : "input_layernorm") + ".weight"))
        .values;
  }

  template <class Function>
  static void ForRows(std::vector<float>& values, std::size_t columns, const Function& function) {
    constexpr std::size_t kPiece = 64;
    const std::size_t rows = values.size() / columns;
    ThreadPool::Global().Run((rows + kPiece - 1) / kPiece, [&](std::size_t piece) {
      for (std::size_t r = piece * kPiece; r < std::min(rows, (piece + 1) * kPiece); ++r)
        function(std::span(values).subspan(r * columns, columns));
    });
  }

  const model::WeightSource& weights_;
  Rotation rotation_;
  RowRotation stream_, head_;
  std::map<std::string, model::TensorSpec> specs_;  // of the model as it was
  mutable std::mutex mutex_;
  mutable std::string name_;  // of values_
  mutable std::vector<float> values_;
};

}  // namespace

Rotation RotationOf(std::string_view word) {
  return word == "heads" ? Rotation::kHeads : word == "full" ? Rotation::kFull : Rotation::kNone;
}

void RotateRow(std::span<float> x, std::uint64_t seed) { RowRotation(x.size(), seed).Apply(x); }

std::unique_ptr<model::WeightSource> RotatedWeights(const model::WeightSource& weights, Rotation rotation,
                                                    std::uint64_t seed) {
  return std::make_unique<Rotated>(weights, rotation, seed);
}

}  // namespace forge::compress
