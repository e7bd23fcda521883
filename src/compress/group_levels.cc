// SPDX-License-Identifier: Apache-2.0
#include "compress/group_levels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/float16.h"
#include "base/nearest_name.h"
#include "compress/group_ternary.h"

namespace forge::compress {
namespace {

constexpr int kAlternations = 20;

double MeanMagnitude(std::span<const float> weights) {
  double sum = 0;
  for (const float weight : weights) sum += std::fabs(weight);
  return weights.empty() ? 0 : sum / static_cast<double>(weights.size());
}

/// Ternary levels with a threshold of their own.
GroupLevels Ternary(double scale, double threshold) {
  const float alpha = RoundToHalf(static_cast<float>(scale));
  GroupLevels levels = PlaneLevels(alpha);
  // From the threshold on upwards, and from minus the threshold on downwards.
  levels.threshold[0] = std::nextafter(-static_cast<float>(threshold), 0.0f);
  levels.threshold[1] = static_cast<float>(threshold);
  return levels;
}
GroupLevels FitSeed(std::span<const float> weights, std::span<const float>) {
  const double mean = MeanMagnitude(weights);
  return Ternary(mean, 0.1 * mean);
}

GroupLevels FitAbsmean(std::span<const float> weights, std::span<const float>) {
  const double mean = std::max(MeanMagnitude(weights), 1e-5);
  return Ternary(mean, 0.5 * mean);
}

GroupLevels FitTwn(std::span<const float> weights, std::span<const float>) {
  const double threshold = 0.7 * MeanMagnitude(weights);
  double sum = 0, count = 0;
  for (const float weight : weights) {
    if (std::fabs(weight) < threshold) continue;
    sum += std::fabs(weight);
    ++count;
  }
  return Ternary(count > 0 ? sum / count : 0, threshold);
}

double HOf(std::span<const float> h, std::size_t i) { return h.empty() ? 1 : h[i]; }

GroupLevels FitSeq(std::span<const float> weights, std::span<const float> h) {
  double scale = 0;
  for (const float weight : weights) scale = std::max(scale, double{std::fabs(weight)});
  scale *= 2.0 / 3;
  for (std::size_t round = 0; round <= weights.size(); ++round) {
    double product = 0, total = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (std::fabs(weights[i]) < scale / 2) continue;
      product += HOf(h, i) * std::fabs(weights[i]);
      total += HOf(h, i);
    }
    const double next = total > 0 ? product / total : scale;
    if (next == scale) break;
    scale = next;
  }
  return PlaneLevels(RoundToHalf(static_cast<float>(scale)));
}

/// The exact optimum of groups that are longer than TernarizeGroup takes: rows, tensors. By sorting.
double SortedOptimum(std::span<const float> weights, std::span<const float> h) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::fabs(weights[a]) > std::fabs(weights[b]);
  });
  double product = 0, total = 0, gain = 0, scale = 0;
  for (const std::size_t i : order) {
    product += HOf(h, i) * std::fabs(weights[i]);
    total += HOf(h, i);
    if (total <= 0 || product * product / total < gain) continue;
    gain = product * product / total;
    scale = product / total;
  }
  return scale;
}

float OptimalScale(std::span<const float> weights, std::span<const float> h) {
  if (weights.size() > kMaxGroup) return RoundToHalf(static_cast<float>(SortedOptimum(weights, h)));
  std::array<std::int8_t, kMaxGroup> codes;
  return TernarizeGroup(weights, h, codes.data());
}

GroupLevels FitWeighted(std::span<const float> weights, std::span<const float> h) {
  return PlaneLevels(OptimalScale(weights, h));
}
GroupLevels FitOptimum(std::span<const float> weights, std::span<const float>) {
  return FitWeighted(weights, {});
}

GroupLevels FitAsymmetric(std::span<const float> weights, std::span<const float> h) {
  double total = 0, mean = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    total += HOf(h, i);
    mean += HOf(h, i) * weights[i];
  }
  if (!(total > 0)) return FitAsymmetric(weights, {});
  double mu = mean / total;
  std::vector<float> moved;
  for (const float weight : weights) moved.push_back(static_cast<float>(weight - mu));
  double alpha = double{FitWeighted(moved, h).level[2]};
  for (int round = 0; round < kAlternations; ++round) {
    double w = 0, t = 0, wt = 0, tt = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double centred = weights[i] - mu, weight = HOf(h, i);
      const double code = std::fabs(centred) <= alpha / 2 ? 0 : centred > 0 ? 1 : -1;
      w += weight * weights[i];
      t += weight * code;
      wt += weight * weights[i] * code;
      tt += weight * code * code;
    }
    const double determinant = total * tt - t * t;
    if (!(determinant > 1e-12 * total * tt)) break;
    alpha = (total * wt - t * w) / determinant;
    mu = (tt * w - t * wt) / determinant;
  }
  const float a = RoundToHalf(static_cast<float>(std::fabs(alpha))), m = RoundToHalf(static_cast<float>(mu));
  const float levels[] = {m - a, m, m + a};
  return NearestLevels(levels);
}

GroupLevels FitTwoPlanes(std::span<const float> weights, std::span<const float> h) {
  const GroupLevels plane = FitWeighted(weights, h);
  std::vector<float> rest(weights.begin(), weights.end());
  for (float& weight : rest) weight -= plane.Round(weight);
  double first = plane.level[2], second = OptimalScale(rest, h);
  for (int round = 0; round < kAlternations; ++round) {
    double aa = 0, ab = 0, bb = 0, wa = 0, wb = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double weight = HOf(h, i);
      double best = HUGE_VAL, a = 0, b = 0;
      for (int x = -1; x <= 1; ++x)
        for (int y = -1; y <= 1; ++y) {
          const double error = std::fabs(weights[i] - x * first - y * second);
          if (error < best) best = error, a = x, b = y;
        }
      aa += weight * a * a;
      ab += weight * a * b;
      bb += weight * b * b;
      wa += weight * weights[i] * a;
      wb += weight * weights[i] * b;
    }
    const double determinant = aa * bb - ab * ab;
    if (!(determinant > 1e-9 * aa * bb)) break;
    const double next_first = (bb * wa - ab * wb) / determinant,
                 next_second = (aa * wb - ab * wa) / determinant;
    if (next_first == first && next_second == second) break;
    first = next_first;
    second = next_second;
  }
  return PlaneLevels(RoundToHalf(static_cast<float>(std::fabs(first))),
                     RoundToHalf(static_cast<float>(std::fabs(second))));
}

/// lowest d .. highest d; d may be negative.
GroupLevels EvenLevels(float d, int lowest, int highest) {
  std::array<float, GroupLevels::kMost> levels;
  const auto count = static_cast<std::size_t>(highest - lowest + 1);
  for (std::size_t k = 0; k < count; ++k) levels[k] = static_cast<float>(lowest + static_cast<int>(k)) * d;
  std::sort(levels.begin(), levels.begin() + static_cast<std::ptrdiff_t>(count));
  if (d == 0) return NearestLevels(std::span(levels).first(1));
  return NearestLevels(std::span(levels).first(count));
}

double ErrorOf(const GroupLevels& levels, std::span<const float> weights, std::span<const float> h) {
  double error = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double difference = double{weights[i]} - double{levels.Round(weights[i])};
    error += HOf(h, i) * difference * difference;
  }
  return error;
}

/// Of the codes lowest .. highest, those with steps that bring the largest weight to `reach` codes.
GroupLevels FitEven(std::span<const float> weights, std::span<const float> h, int lowest, int highest,
                    std::span<const float> reach) {
  float largest = 0;
  for (const float weight : weights)
    if (std::fabs(weight) > std::fabs(largest)) largest = weight;
  GroupLevels best = EvenLevels(RoundToHalf(largest / static_cast<float>(lowest)), lowest, highest);
  double least = ErrorOf(best, weights, h);
  for (const float codes : reach)
    for (const float sign : {-1.0f, 1.0f}) {
      const GroupLevels levels = EvenLevels(RoundToHalf(sign * largest / codes), lowest, highest);
      const double error = ErrorOf(levels, weights, h);
      if (error < least) least = error, best = levels;
    }
  return best;
}

GroupLevels FitQ4(std::span<const float> weights, std::span<const float> h) {
  std::array<float, 21> reach;
  for (std::size_t i = 0; i < reach.size(); ++i) reach[i] = 6 + 0.2f * static_cast<float>(i);
  return FitEven(weights, h, -8, 7, reach);
}
GroupLevels FitQ5(std::span<const float> weights, std::span<const float> h) {
  std::array<float, 11> reach;
  for (std::size_t i = 0; i < reach.size(); ++i) reach[i] = 15 + 0.2f * static_cast<float>(i);
  return FitEven(weights, h, -16, 15, reach);
}

GroupLevels FitFour(std::span<const float> weights, std::span<const float> h) {
  std::array<float, 24> reach;
  for (std::size_t i = 0; i < reach.size(); ++i) reach[i] = 1 + 0.1f * static_cast<float>(i);
  GroupLevels best = FitEven(weights, h, -1, 2, reach);
  double least = ErrorOf(best, weights, h);
  for (int round = 0; round < kAlternations && best.count > 1; ++round) {
    // The extreme with two steps has the sign of d.
    const bool is_negative = -best.level[0] > best.level[3];
    const float d = is_negative ? best.level[0] / 2 : best.level[3] / 2;
    double xq = 0, qq = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double q = std::round(double{best.Round(weights[i])} / double{d});
      xq += HOf(h, i) * weights[i] * q;
      qq += HOf(h, i) * q * q;
    }
    if (!(qq > 0)) break;
    const GroupLevels next = EvenLevels(RoundToHalf(static_cast<float>(xq / qq)), -1, 2);
    const double error = ErrorOf(next, weights, h);
    if (!(error < least)) break;
    least = error;
    best = next;
  }
  return best;
}

}  // namespace

GroupLevels NearestLevels(std::span<const float> levels) {
  FORGE_CHECK(!levels.empty() && levels.size() <= GroupLevels::kMost);
  GroupLevels result{.count = levels.size(), .level = {}, .threshold = {}};
  std::copy(levels.begin(), levels.end(), result.level.begin());
  for (std::size_t k = 0; k + 1 < levels.size(); ++k) {
    FORGE_CHECK(levels[k] <= levels[k + 1]);
    result.threshold[k] = (levels[k] + levels[k + 1]) / 2;
  }
  const float range = levels.back() - levels.front();
  if (range > 0) result.per_step = std::min(static_cast<float>(levels.size() - 1) / range, 1e30f);
  return result;
}

GroupLevels PlaneLevels(float first, float second) {
  std::vector<float> levels;
  for (int a = -1; a <= 1; ++a)
    for (int b = -1; b <= 1; ++b)
      if (second != 0 || b == 0)
        levels.push_back(static_cast<float>(a) * first + static_cast<float>(b) * second);
  std::sort(levels.begin(), levels.end());
  if (second != 0) levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  GroupLevels result = NearestLevels(levels);
  result.plane = {first, second};
  return result;
}

GroupLevels KQuantLevels(const io::KQuantFormat& format, const io::KQuantBlock& block, int group) {
  std::array<float, GroupLevels::kMost> levels;
  const auto count = static_cast<std::size_t>(format.codes);
  FORGE_CHECK(count <= levels.size());
  for (std::size_t k = 0; k < count; ++k) levels[k] = format.Value(block, group, static_cast<int>(k));
  if (levels[0] == levels[1]) return NearestLevels(std::span(levels).first(1));
  if (levels[0] > levels[1])
    std::reverse(levels.begin(), levels.begin() + static_cast<std::ptrdiff_t>(count));
  return NearestLevels(std::span(levels).first(count));
}

const std::vector<Quantiser>& Quantisers() {
  static const std::vector<Quantiser> table{
      {"seed", "the original program", 1, FitSeed},
      {"absmean", "BitNet b1.58, arXiv:2402.17764", 1, FitAbsmean},
      {"twn", "Ternary Weight Networks, arXiv:1605.04711", 1, FitTwn},
      {"seq", "ParetoQ, arXiv:2502.02631", 1, FitSeq},
      {"optimum", "exact group optimum", 1, FitOptimum},
      {"weighted", "exact group optimum, weighted by inputs", 1, FitWeighted},
      {"asymmetric", "PT2-LLM, arXiv:2510.03267", 1, FitAsymmetric},
      {"two-planes", "PTQTP, arXiv:2509.16989", 2, FitTwoPlanes},
      {"four", "Q2_0 with all four codes", 0, FitFour, {{io::BlockType::kQ2_0, 64}}},
      {"q4", "Q4_0 with a fitted scale", 0, FitQ4, {{io::BlockType::kQ4_0, 32}}},
      {"q5", "Q5_0 with a fitted scale", 0, FitQ5, {{io::BlockType::kQ5_0, 32}}},
      {"q2_k", "Q2_K", 0, nullptr, {{io::BlockType::kQ2_K, 16, &io::kFormatQ2_K}}},
      {"q3_k", "Q3_K", 0, nullptr, {{io::BlockType::kQ3_K, 16, &io::kFormatQ3_K}}},
      {"q4_k", "Q4_K", 0, nullptr, {{io::BlockType::kQ4_K, 32, &io::kFormatQ4_K}}},
      {"q5_k", "Q5_K", 0, nullptr, {{io::BlockType::kQ5_K, 32, &io::kFormatQ5_K}}},
  };
  return table;
}

const Quantiser& FindQuantiser(std::string_view name) {
  std::vector<std::string> names;
  for (const Quantiser& quantiser : Quantisers()) {
    if (quantiser.name == name) return quantiser;
    names.emplace_back(quantiser.name);
  }
  const std::optional<std::string> nearest = NearestName(name, names);
  throw Error({.kind = ErrorKind::kUsage,
               .what = fmt::format("there is no quantiser {}", name),
               .why = fmt::format("there are {}", fmt::join(names, ", ")),
               .fix = nearest ? fmt::format("did you mean {}?", *nearest) : "choose one of these"});
}

}  // namespace forge::compress
