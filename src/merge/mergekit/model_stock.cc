// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/model_stock.h"

#include <cmath>

namespace forge::merge::mergekit {
namespace {

/// The mean over all pairs. `changes` [models], each one row.
float MeanCosine(const std::vector<std::span<const float>>& changes, const Rounder& round) {
  std::vector<float> lengths;
  for (const std::span<const float> change : changes) lengths.push_back(round(LengthOf(change)));
  double total = 0;
  std::size_t pairs = 0;
  for (std::size_t a = 0; a < changes.size(); ++a)
    for (std::size_t b = a + 1; b < changes.size(); ++b, ++pairs) {
      const float product = round(
          SumOf(changes[a].size(), [&](std::size_t i) { return round(changes[a][i] * changes[b][i]); }));
      const float scale = AtLeast(round(lengths[a] * lengths[b]), round(1e-6f));
      total += static_cast<double>(ClampCosine(round(product / scale)));
    }
  return round(total / static_cast<double>(pairs));
}

/// How far to go from the base to the mean of the models.
float Ratio(float cosine, std::size_t models, const Rounder& round) {
  const float divisor = round(1 + round(static_cast<float>(models - 1) * cosine));
  if (std::abs(divisor) < 1e-6f) return 0;
  return round(round(static_cast<float>(models) * cosine) / divisor);
}

}  // namespace

void ModelStock(const Operands& operands, std::span<float> out) {
  const Rounder& round = operands.round;
  const std::span<const float> base = operands.base();
  const std::vector<std::size_t> models = operands.models();
  std::vector<std::vector<float>> changes;
  for (const std::size_t source : models) changes.push_back(operands.Change(source));
  const std::size_t length =
      operands.Get("filter_wise") != 0 ? RowsOf(operands.task.shape).length : out.size();
  for (std::size_t begin = 0; begin < out.size(); begin += length) {
    std::vector<std::span<const float>> rows;
    for (const std::vector<float>& change : changes) rows.push_back(std::span(change).subspan(begin, length));
    const float t = Ratio(MeanCosine(rows, round), models.size(), round);
    const float rest = round(1 - t);
    for (std::size_t i = begin; i < begin + length; ++i) {
      float sum = 0;
      for (const std::size_t source : models) sum = round(sum + operands.inputs[source][i]);
      const float mean = round(sum / static_cast<float>(models.size()));
      out[i] = round(round(t * mean) + round(rest * base[i]));
    }
  }
}

}  // namespace forge::merge::mergekit
