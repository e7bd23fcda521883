// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "merge/mergekit/spherical.h"

namespace forge::merge::mergekit {
namespace {

/// Nuslerp's two factors for one pair of vectors.
struct Turn {
  float first = 0, second = 0;
  float divisor = 1;
};

/// [n] unit vectors, 0 where a vector is shorter than 1e-7.
std::vector<float> UnitVectors(const std::vector<float>& tensor, const Vectors& vectors,
                               const Rounder& round) {
  std::vector<float> units(tensor.size());
  for (std::size_t v = 0; v < vectors.count; ++v) {
    const std::size_t first = vectors.First(v);
    const double squares = SumOf(vectors.length, [&](std::size_t e) {
      const double value = tensor[first + e * vectors.stride];
      return value * value;
    });
    const float length = AtLeast(round(std::sqrt(squares)), round(1e-7f));
    for (std::size_t e = 0; e < vectors.length; ++e) {
      const std::size_t i = first + e * vectors.stride;
      units[i] = round(tensor[i] / length);
    }
  }
  return units;
}

Turn TurnBy(double t, float cosine, const Rounder& round) {
  const auto t_first = static_cast<float>(1 - t), t_second = static_cast<float>(t);
  if (round(1 - round(cosine * cosine)) <= 1e-16f) return {t_first, t_second, 1};
  const float angle = round(std::acos(static_cast<double>(cosine)));
  const auto sine = [&](float of) { return round(std::sin(static_cast<double>(of))); };
  return {sine(round(t_first * angle)), sine(round(t_second * angle)), sine(angle)};
}

Vectors NuslerpVectors(const Operands& operands) {
  if (operands.Get("nuslerp_flatten") != 0) return {.count = 1, .length = operands.size()};
  return operands.Get("nuslerp_row_wise") != 0 ? VectorsAlong(operands.task.shape, 0)
                                               : RowsOf(operands.task.shape);
}

}  // namespace

void Slerp(const Operands& operands, std::span<float> out) {
  const std::span<const float> base = operands.base(), other = operands.inputs[operands.models()[0]];
  const auto t = static_cast<float>(operands.Get("t"));
  const auto divisor = [](double length) { return length > 1e-8 ? length : 1; };
  const double base_length = divisor(LengthOf(base)), other_length = divisor(LengthOf(other));
  const double cosine = SumOf(base.size(), [&](std::size_t i) {
    return (static_cast<double>(base[i]) / base_length) * (static_cast<double>(other[i]) / other_length);
  });
  double turn_base = static_cast<double>(1 - t), turn_other = static_cast<double>(t);
  if (!(std::abs(cosine) > 0.9995)) {
    const double angle = std::acos(cosine), sine = std::sin(angle);
    turn_base = std::sin(turn_base * angle) / sine;
    turn_other = std::sin(turn_other * angle) / sine;
  }
  const auto of_base = static_cast<float>(turn_base), of_other = static_cast<float>(turn_other);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = operands.round(of_base * base[i] + of_other * other[i]);
}

void Nuslerp(const Operands& operands, std::span<float> out) {
  const Rounder& round = operands.round;
  const std::vector<std::size_t> models = operands.models();
  const double first_weight = operands.Get("weight", models[0]),
               second_weight = operands.Get("weight", models[1]);
  const double total = first_weight + second_weight;
  const double t = std::abs(total) < 1e-6 ? 0.5 : second_weight / total;
  const auto tensor_of = [&](std::size_t source) {
    return operands.has_base()
               ? operands.Change(source)
               : std::vector<float>(operands.inputs[source].begin(), operands.inputs[source].end());
  };
  const std::vector<float> a = tensor_of(models[0]), b = tensor_of(models[1]);
  const Vectors vectors = NuslerpVectors(operands);
  const std::vector<float> a_unit = UnitVectors(a, vectors, round), b_unit = UnitVectors(b, vectors, round);
  for (std::size_t v = 0; v < vectors.count; ++v) {
    const auto index = [&, first = vectors.First(v)](std::size_t e) { return first + e * vectors.stride; };
    const float cosine = ClampCosine(round(
        SumOf(vectors.length, [&](std::size_t e) { return round(a_unit[index(e)] * b_unit[index(e)]); })));
    const Turn turn = TurnBy(t, cosine, round);
    for (std::size_t e = 0; e < vectors.length; ++e) {
      const std::size_t i = index(e);
      const float sum = round(round(turn.first * a[i]) + round(turn.second * b[i]));
      const float value = round(sum / turn.divisor);
      out[i] = operands.has_base() ? round(operands.base()[i] + value) : value;
    }
  }
}

}  // namespace forge::merge::mergekit
