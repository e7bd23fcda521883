// SPDX-License-Identifier: Apache-2.0
#include "train/torch/relation_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace forge::train {
namespace {

at::Tensor Noise(std::vector<std::int64_t> shape, int seed) {
  at::Tensor values = at::empty(shape, at::kFloat);
  float* data = values.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i)
    data[i] = static_cast<float>(std::sin(1.7 * static_cast<double>(i) * seed + seed));
  return values;
}

/// Two rows of 5 tokens, 4 query heads, 2 key heads of 3.
DecoderLayer::Tape TapeOf(int seed) {
  DecoderLayer::Tape tape;
  tape.query = Noise({2, 4, 5, 3}, seed);
  tape.key = Noise({2, 2, 5, 3}, seed + 10);
  tape.value = Noise({2, 2, 5, 3}, seed + 20);
  return tape;
}

/// The first row is documents of 3 and 2 tokens, the second one of 5.
bool Sees(std::int64_t row, std::int64_t t, std::int64_t other) {
  return other <= t && (row == 1 || (t < 3) == (other < 3));
}
RowLayout Layout(bool is_packed) {
  RowLayout layout{.rows = 2, .length = 5};
  if (!is_packed) return layout;
  layout.mask = at::full({2, 1, 5, 5}, -std::numeric_limits<float>::infinity(), at::kFloat);
  for (std::int64_t row = 0; row < 2; ++row)
    for (std::int64_t t = 0; t < 5; ++t)
      for (std::int64_t other = 0; other <= t; ++other)
        if (Sees(row, t, other)) layout.mask[row][0][t][other] = 0;
  return layout;
}

/// By the formula, one number after the other.
double PlainLoss(const at::Tensor& student, const at::Tensor& teacher, bool is_packed) {
  const auto relations = [&](const at::Tensor& states, std::int64_t row, std::int64_t head, std::int64_t t) {
    const auto at = [&](std::int64_t token, std::int64_t i) {
      return states[row][head][token][i].item<double>();
    };
    const std::int64_t size = states.size(3);
    std::vector<double> values(5);
    double sum = 0;
    for (std::int64_t other = 0; other < 5; ++other) {
      if (is_packed ? !Sees(row, t, other) : other > t) continue;
      double dot = 0, a = 0, b = 0;
      for (std::int64_t i = 0; i < size; ++i) {
        dot += at(t, i) * at(other, i);
        a += at(t, i) * at(t, i);
        b += at(other, i) * at(other, i);
      }
      values[static_cast<std::size_t>(other)] =
          std::exp(dot / std::sqrt(a * b) / std::sqrt(static_cast<double>(size)));
      sum += values[static_cast<std::size_t>(other)];
    }
    for (double& value : values) value /= sum;
    return values;
  };
  double total = 0;
  for (std::int64_t row = 0; row < 2; ++row)
    for (std::int64_t head = 0; head < student.size(1); ++head)
      for (std::int64_t t = 0; t < 5; ++t) {
        const std::vector<double> p = relations(teacher, row, head, t), q = relations(student, row, head, t);
        for (std::size_t i = 0; i < 5; ++i)
          if (p[i] > 0) total += p[i] * std::log(p[i] / q[i]);
      }
  return total / static_cast<double>(2 * student.size(1) * 5);
}

TEST(RelationLoss, IsTheDivergenceOfRelationsWithinDocuments) {
  const DecoderLayer::Tape student = TapeOf(1), teacher = TapeOf(2);
  for (const bool is_packed : {false, true}) {
    const double expected = PlainLoss(student.query, teacher.query, is_packed) +
                            PlainLoss(student.key, teacher.key, is_packed) +
                            PlainLoss(student.value, teacher.value, is_packed);
    EXPECT_GT(expected, 0.01);
    EXPECT_NEAR(ComputeRelationLoss(student, teacher, Layout(is_packed)).loss, expected, 1e-6);
    EXPECT_NEAR(ComputeRelationLoss(student, student, Layout(is_packed)).loss, 0, 1e-7);
  }
}

TEST(RelationLoss, GradientsAreThoseOfDifferences) {
  const DecoderLayer::Tape student = TapeOf(1), teacher = TapeOf(2);
  const RowLayout layout = Layout(true);
  const RelationLoss result = ComputeRelationLoss(student, teacher, layout);
  const at::Tensor DecoderLayer::Tape::*members[] = {&DecoderLayer::Tape::query, &DecoderLayer::Tape::key,
                                                     &DecoderLayer::Tape::value};
  for (std::size_t which = 0; which < 3; ++which)
    for (const std::int64_t i : {0, 7, 29, 59}) {
      constexpr double kStep = 1e-2;
      double losses[2];
      for (const int sign : {0, 1}) {
        DecoderLayer::Tape moved = TapeOf(1);
        const at::Tensor values = moved.*members[which];
        values.view(-1)[i] += sign == 0 ? -kStep : kStep;
        losses[sign] = ComputeRelationLoss(moved, teacher, layout).loss;
      }
      EXPECT_NEAR(result.gradients[which].reshape(-1)[i].item<double>(),
                  (losses[1] - losses[0]) / (2 * kStep), 3e-5)
          << which << " " << i;
    }
}

TEST(RelationLoss, HasItsShareOfTheGradientsNorm) {
  const DecoderLayer::Tape student = TapeOf(1), teacher = TapeOf(2);
  const RelationLoss relation = ComputeRelationLoss(student, teacher, Layout(false));
  std::vector<at::Tensor> gradients{Noise({2, 4, 5, 3}, 5), Noise({2, 2, 5, 3}, 6), Noise({2, 2, 5, 3}, 7)};
  std::vector<at::Tensor> before;
  double norm = 0, added = 0, along = 0, own = 0;
  for (const at::Tensor& gradient : gradients) before.push_back(gradient.clone());
  EXPECT_EQ(AddRelationLoss(student, teacher, Layout(false), 0.25, gradients), relation.loss);
  for (std::size_t i = 0; i < 3; ++i) {
    const at::Tensor change = gradients[i] - before[i];
    norm += before[i].square().sum().item<double>();
    added += change.square().sum().item<double>();
    along += (change * relation.gradients[i]).sum().item<double>();
    own += relation.gradients[i].square().sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(added / norm), 0.25, 1e-5);
  EXPECT_NEAR(along / std::sqrt(added * own), 1, 1e-5);
  // A student with the teacher's relations gets nothing added.
  std::vector<at::Tensor> same{before[0].clone(), before[1].clone(), before[2].clone()};
  AddRelationLoss(student, student, Layout(false), 0.0, same);
  EXPECT_TRUE(same[0].equal(before[0]));
}

}  // namespace
}  // namespace forge::train
