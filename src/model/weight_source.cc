// SPDX-License-Identifier: Apache-2.0
#include "model/weight_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "io/float_arrays.h"

namespace forge::model {
namespace {

constexpr std::size_t kPieceElements = 1 << 20;  // of VisitRows: 4 MiB of float32

class MemoryWeights : public WeightSource {
 public:
  MemoryWeights(const ModelConfig& config, const ModelWeights& weights, const TernaryWeights* ternary)
      : WeightSource(config), weights_(weights), ternary_(ternary) {}
  std::string Name() const override { return "the model in memory"; }
  std::string StoredType(const TensorSpec&) const override { return "F32"; }
  std::optional<StoredRows> FindStoredRows(const TensorSpec& spec) const override {
    if (FindTernary(spec) != nullptr) return std::nullopt;
    const std::span<const float> values = weights_.at(spec.name).values;
    return StoredRows{
        io::BlockType::kF32, [values, columns = Columns(spec)](std::int64_t row) {
          return std::as_bytes(values.subspan(static_cast<std::size_t>(row) * columns, columns));
        }};
  }
  int TernaryGroup(const TensorSpec& spec) const override {
    const TernaryTensor* ternary = FindTernary(spec);
    return ternary == nullptr ? 0 : ternary->group;
  }

 private:
  const TernaryTensor* FindTernary(const TensorSpec& spec) const {
    if (ternary_ == nullptr) return nullptr;
    const auto found = ternary_->find(spec.name);
    return found == ternary_->end() ? nullptr : &found->second;
  }
  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    const std::size_t first = static_cast<std::size_t>(first_row) * Columns(spec);
    if (const TernaryTensor* ternary = FindTernary(spec)) {
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = ternary->scales[(first + i) / static_cast<std::size_t>(ternary->group)] *
                 static_cast<float>(ternary->codes[first + i]);
      return;
    }
    const std::vector<float>& values = weights_.at(spec.name).values;
    std::copy_n(values.data() + first, out.size(), out.data());
  }
  const ModelWeights& weights_;
  const TernaryWeights* ternary_;
};

}  // namespace

std::int64_t Rows(const TensorSpec& spec) { return spec.shape.size() == 2 ? spec.shape[0] : 1; }
std::size_t Columns(const TensorSpec& spec) { return static_cast<std::size_t>(spec.shape.back()); }

void WeightSource::ReadRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const {
  FORGE_CHECK(out.size() % Columns(spec) == 0 && first_row >= 0);
  FORGE_CHECK(first_row + static_cast<std::int64_t>(out.size() / Columns(spec)) <= Rows(spec));
  ReadStoredRows(spec, first_row, out);
  CheckFinite(spec, first_row, out);
}

TernaryTensor WeightSource::ReadTernary(const TensorSpec& spec) const {
  return ToTernary(spec, Read(spec), TernaryGroup(spec));
}

TernaryTensor WeightSource::ReadTernaryPlane(const TensorSpec& spec, int plane) const {
  FORGE_CHECK(plane == 0 || plane == 1);
  Tensor tensor{.shape = spec.shape, .values = {}};
  tensor.values.resize(static_cast<std::size_t>(Rows(spec)) * Columns(spec));
  ReadPlaneRows(spec, plane, 0, tensor.values);
  CheckFinite(spec, 0, tensor.values);
  return ToTernary(spec, tensor, TwoPlaneGroup(spec));
}

void WeightSource::ReadPlaneRows(const TensorSpec&, int, std::int64_t, std::span<float>) const {
  FORGE_CHECK(false);
}

TernaryTensor WeightSource::ToTernary(const TensorSpec& spec, const Tensor& tensor, int group_size) const {
  TernaryTensor ternary{.shape = tensor.shape, .group = group_size};
  FORGE_CHECK(ternary.group > 0);
  const auto size = static_cast<std::size_t>(ternary.group);
  ternary.codes.resize(tensor.values.size());
  ternary.scales.resize(tensor.values.size() / size);
  ParallelFor(ternary.scales.size(), 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t group = begin; group < end; ++group) {
      const std::span<const float> values(tensor.values.data() + group * size, size);
      float scale = 0;
      for (const float value : values) scale = std::max(scale, std::fabs(value));
      bool is_ternary = scale == RoundToHalf(scale);
      std::int8_t* codes = ternary.codes.data() + group * size;
      for (std::size_t i = 0; i < size; ++i) {
        is_ternary = is_ternary & ((values[i] == 0) | (std::fabs(values[i]) == scale));
        codes[i] = static_cast<std::int8_t>((values[i] > 0) - (values[i] < 0));
      }
      if (!is_ternary)
        throw Error({.kind = ErrorKind::kInput,
                     .what = "cannot use the ternary weights of " + Name(),
                     .why = fmt::format("{}: the group at element {} holds more than one magnitude",
                                        spec.name, group * size),
                     .fix = "compress the model again, or convert it without llama-quantize (it rounds to "
                            "other codes)"});
      ternary.scales[group] = scale;
    }
  });
  return ternary;
}

std::span<const std::byte> WeightSource::CheckedRows(const TensorSpec& spec, std::int64_t first_row,
                                                     io::BlockType type,
                                                     std::span<const std::byte> bytes) const {
  if (type == io::BlockType::kBF16 && io::AllFiniteBFloat16(bytes)) return bytes;
  thread_local std::vector<float> values;
  values.resize(bytes.size() / io::RowBytes(type, Columns(spec)) * Columns(spec));
  io::DecodeBlocks(type, bytes, values);
  CheckFinite(spec, first_row, values);
  return bytes;
}

void WeightSource::CheckFinite(const TensorSpec& spec, std::int64_t first_row,
                               std::span<const float> values) const {
  if (io::AllFinite(values)) return;
  const auto wrong =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the weights of " + Name(),
               .why = fmt::format("tensor {} holds {} at element {}", spec.name, *wrong,
                                  static_cast<std::size_t>(first_row) * Columns(spec) +
                                      static_cast<std::size_t>(wrong - values.begin())),
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

std::unique_ptr<WeightSource> WeightsInMemory(const ModelConfig& config, const ModelWeights& weights,
                                              const TernaryWeights* ternary) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, tensor] : weights) shapes[name] = tensor.shape;
  if (ternary != nullptr)
    for (const auto& [name, tensor] : *ternary) shapes[name] = tensor.shape;
  CheckTensorShapes(config, shapes, "the model in memory");
  return std::make_unique<MemoryWeights>(config, weights, ternary);
}

}  // namespace forge::model
