// SPDX-License-Identifier: Apache-2.0
#include "model/weight_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace forge::model {
namespace {

constexpr std::size_t kPieceElements = 1 << 20;  // of VisitRows: 4 MiB of float32

class MemoryWeights : public WeightSource {
 public:
  MemoryWeights(const ModelConfig& config, const ModelWeights& weights)
      : WeightSource(config), weights_(weights) {}
  std::string Name() const override { return "the model in memory"; }
  std::string StoredType(const TensorSpec&) const override { return "F32"; }

 private:
  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    const std::vector<float>& values = weights_.at(spec.name).values;
    std::copy_n(values.begin() + first_row * static_cast<std::int64_t>(Columns(spec)), out.size(),
                out.begin());
  }
  const ModelWeights& weights_;
};

}  // namespace

std::int64_t Rows(const TensorSpec& spec) { return spec.shape.size() == 2 ? spec.shape[0] : 1; }
std::size_t Columns(const TensorSpec& spec) { return static_cast<std::size_t>(spec.shape.back()); }

void WeightSource::ReadRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const {
  FORGE_CHECK(out.size() % Columns(spec) == 0 && first_row >= 0);
  FORGE_CHECK(first_row + static_cast<std::int64_t>(out.size() / Columns(spec)) <= Rows(spec));
  ReadStoredRows(spec, first_row, out);
  const auto wrong = std::find_if(out.begin(), out.end(), [](float value) { return !std::isfinite(value); });
  if (wrong == out.end()) return;
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the weights of " + Name(),
               .why = fmt::format("tensor {} holds {} at element {}", spec.name, *wrong,
                                  static_cast<std::size_t>(first_row) * Columns(spec) +
                                      static_cast<std::size_t>(wrong - out.begin())),
               .fix = "copy or make the model again; weights must be finite numbers"});
}

Tensor WeightSource::Read(const TensorSpec& spec) const {
  Tensor tensor{spec.shape, std::vector<float>(static_cast<std::size_t>(Rows(spec)) * Columns(spec))};
  ReadRows(spec, 0, tensor.values);
  return tensor;
}

ModelWeights WeightSource::ReadAll() const {
  ModelWeights weights;
  for (const TensorSpec& spec : ListTensors(config_)) weights[spec.name] = Read(spec);
  return weights;
}

void VisitRows(const WeightSource& weights, const TensorSpec& spec, std::int64_t step,
               const std::function<void(std::span<const float>)>& visit) {
  const auto columns = static_cast<std::int64_t>(Columns(spec));
  const std::int64_t rows = Rows(spec);
  const std::int64_t steps =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(kPieceElements) / (columns * step));
  std::vector<float> piece;
  for (std::int64_t first = 0; first < rows; first += steps * step) {
    piece.resize(static_cast<std::size_t>(std::min(steps * step, rows - first) * columns));
    weights.ReadRows(spec, first, piece);
    visit(piece);
  }
}

std::unique_ptr<WeightSource> WeightsInMemory(const ModelConfig& config, const ModelWeights& weights) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, tensor] : weights) shapes[name] = tensor.shape;
  CheckTensorShapes(config, shapes, "the model in memory");
  return std::make_unique<MemoryWeights>(config, weights);
}

}  // namespace forge::model
