// SPDX-License-Identifier: Apache-2.0
#include "io/k_quant_fit.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/float16.h"
#include "io/block_scale.h"

namespace forge::io {
namespace {

constexpr int kLanes = 8;  // of sums that the compiler keeps in vectors; groups are multiples of it
constexpr int kRounds = 6;
constexpr float kLargestHalf = 65504;
constexpr double kLeastShare = 1e-6;  // of the mean importance, for values of none
constexpr float kImportant = 0.1f;    // of the mean importance

float Sum(const float* lanes) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += lanes[i];
  return sum;
}

/// The nearest code for x, as a number: adding and taking away 1.5 * 2^23 rounds to an integer.
float NearestCode(float x, float lowest, float highest) {
  constexpr float kRounder = 12582912;
  return (std::min(std::max(x, lowest), highest) + kRounder) - kRounder;
}

/// Moments of the codes that some step and least value give.
struct Moments {
  float w, wq, wqq, wx, wxq;
};
/// Codes are round(x * inverse + offset), kept within [lowest, highest].
Moments MomentsOf(const float* x, const float* h, int count, float inverse, float offset, float lowest,
                  float highest) {
  float w[kLanes] = {}, wq[kLanes] = {}, wqq[kLanes] = {}, wx[kLanes] = {}, wxq[kLanes] = {};
  for (int i = 0; i < count; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      const float q = NearestCode(x[i + j] * inverse + offset, lowest, highest);
      const float hq = h[i + j] * q, hx = h[i + j] * x[i + j];
      w[j] += h[i + j];
      wq[j] += hq;
      wqq[j] += hq * q;
      wx[j] += hx;
      wxq[j] += hx * q;
    }
  return {Sum(w), Sum(wq), Sum(wqq), Sum(wx), Sum(wxq)};
}

/// A group's best scale and least value while nothing is said about how they are stored.
struct Ideal {
  float scale = 0, least = 0;
};

class BlockFit {
 public:
  BlockFit(const KQuantFormat& format, const float* values, const float* importance)
      : format_(format),
        lowest_(static_cast<float>(-format.zero)),
        highest_(static_cast<float>(format.codes - 1 - format.zero)) {
    float largest = 0;
    for (int i = 0; i < kKQuantElements; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float inverse = InverseStep(largest);
    unit_ = inverse == 0 ? 0 : largest;
    double mean = 0, most = 0;
    for (int i = 0; i < kKQuantElements && importance != nullptr; ++i)
      most = std::max(most, double{importance[i]});
    for (int i = 0; i < kKQuantElements && most > 0; ++i) mean += importance[i] / most / kKQuantElements;
    for (int i = 0; i < kKQuantElements; ++i) {
      x_[i] = values[i] * inverse;
      h_[i] = most > 0 ? static_cast<float>(std::max(importance[i] / most / mean, kLeastShare)) : 1.0f;
    }
  }

  KQuantBlock Fit() {
    KQuantBlock best;
    best.code.fill(static_cast<std::uint8_t>(format_.zero));
    if (unit_ == 0) return best;
    for (int g = 0; g < format_.groups(); ++g)
      ideal_[g] = format_.most_least > 0 ? WithLeast(g) : Symmetric(g);
    double least_error = HUGE_VAL;
    for (const auto& [d, e] : FirstSteps()) {
      KQuantBlock block{.d = Half(d), .e = Half(e), .scale = {}, .least = {}, .code = {}};
      double before = HUGE_VAL;
      for (int round = 0; round < kRounds; ++round) {
        const double error = ChooseIntegers(block, round == 0, 1);
        if (error < least_error) least_error = error, best = block;
        if (!(error < before * 0.9999)) break;
        before = error;
        if (!ImproveSteps(block)) break;
      }
    }
    if (IsCoarse()) {
      ImproveSteps(best);
      ChooseIntegers(best, false, format_.most_scale);
    }
    for (int g = 0; g < format_.groups(); ++g) SetCodes(g, best);
    return best;
  }

 private:
  const float* X(int g) const { return x_ + g * format_.group; }
  const float* H(int g) const { return h_ + g * format_.group; }
  Moments Of(int g, float inverse, float offset) const {
    return MomentsOf(X(g), H(g), format_.group, inverse, offset, lowest_, highest_);
  }

  /// As it can be stored.
  float Half(float step) const { return RoundToHalf(std::clamp(step * unit_, -kLargestHalf, kLargestHalf)); }

  /// What of a group the steps to try are made for: all of it, or only what is important.
  struct Range {
    float low = 0, high = 0, largest = 0;
  };
  Range RangeOf(int g, float least_importance) const {
    Range range;
    bool is_first = true;
    for (int i = 0; i < format_.group; ++i) {
      if (H(g)[i] < least_importance) continue;
      const float x = X(g)[i];
      range.low = std::min(range.low, x);
      range.high = is_first ? x : std::max(range.high, x);
      range.largest = std::max(range.largest, std::fabs(x));
      is_first = false;
    }
    return range;
  }

  Ideal Symmetric(int g) const {
    Ideal best;
    float most = 0;  // (sum h x q)^2 / sum h q^2: what the error is below sum h x^2
    const auto consider = [&](float inverse) {
      const Moments m = Of(g, inverse, 0);
      if (!(m.wqq > 0) || !(m.wxq * m.wxq > most * m.wqq)) return false;
      most = m.wxq * m.wxq / m.wqq;
      best.scale = m.wxq / m.wqq;
      return true;
    };
    float before = 0;
    for (const float least_importance : {0.0f, kImportant}) {
      const float inverse = InverseStep(RangeOf(g, least_importance).largest);
      if (inverse == before) continue;
      before = inverse;
      for (int step = -10; step <= 6; ++step)
        for (const float sign : {-1.0f, 1.0f})
          consider(sign * (static_cast<float>(format_.zero) + 0.125f * static_cast<float>(step)) * inverse);
    }
    for (int round = 0; round < kRounds && consider(InverseStep(best.scale)); ++round) {
    }
    return best;
  }

  Ideal WithLeast(int g) const {
    Ideal best{0, -RangeOf(g, 0).low};
    double gained = 0;  // error - sum h x^2
    const auto consider = [&](float inverse, float least) {
      const Moments m = Of(g, inverse, least * inverse);
      const double determinant = double{m.w} * m.wqq - double{m.wq} * m.wq;
      double scale = 0, base = m.w > 0 ? double{m.wx} / m.w : 0;  // value = scale q + base
      if (determinant > 1e-6 * double{m.w} * m.wqq) {
        scale = (double{m.w} * m.wxq - double{m.wx} * m.wq) / determinant;
        base = (double{m.wqq} * m.wx - double{m.wq} * m.wxq) / determinant;
      }
      if (base > 0) {
        base = 0;
        scale = m.wqq > 0 ? double{m.wxq} / m.wqq : 0;
      }
      if (scale < 0) return false;
      const double error = scale * scale * m.wqq + 2 * scale * base * m.wq + base * base * m.w -
                           2 * (scale * m.wxq + base * m.wx);
      if (!(error < gained)) return false;
      gained = error;
      best = {static_cast<float>(scale), static_cast<float>(-base)};
      return true;
    };
    Range before;
    for (const float least_importance : {0.0f, kImportant}) {
      const Range range = RangeOf(g, least_importance);
      const float inverse = InverseStep(range.high - range.low);
      if (inverse == 0 || (range.low == before.low && range.high == before.high)) continue;
      before = range;
      for (int step = -9; step <= 10; ++step)
        consider((highest_ + 0.1f * static_cast<float>(step)) * inverse, -range.low);
    }
    for (int round = 0; round < kRounds && consider(InverseStep(best.scale), best.least); ++round) {
    }
    return best;
  }

  /// So few integers that rounding to them matters.
  bool IsCoarse() const { return format_.most_scale < 16; }

  struct Steps {
    float d, e;
  };
  /// Steps with which the largest of all groups can be stored, and some that are a little off.
  std::vector<Steps> FirstSteps() const {
    float scale = 0, least = 0;
    for (int g = 0; g < format_.groups(); ++g) {
      if (std::fabs(ideal_[g].scale) > std::fabs(scale)) scale = ideal_[g].scale;
      least = std::max(least, ideal_[g].least);
    }
    std::vector<Steps> steps;
    if (format_.most_least == 0) {
      const auto low = static_cast<float>(format_.lowest_scale),
                 high = static_cast<float>(format_.most_scale);
      for (const float integer : {low, high, low + 1.5f, high - 1.5f, low * 1.15f})
        steps.push_back({scale / integer, 0});
      return steps;
    }
    const float d = scale / static_cast<float>(format_.most_scale),
                e = least / static_cast<float>(format_.most_least);
    steps = {{d, e}};
    if (!IsCoarse()) return steps;
    for (const float a : {0.85f, 1.0f, 1.08f})
      for (const float b : {0.85f, 1.0f, 1.08f})
        if (a != 1 || b != 1) steps.push_back({a * d, b * e});
    return steps;
  }

  /// sum h (x - value)^2 of a group for these integers, every code the nearest.
  float ErrorOf(int g, float step, float least) const {
    const float inverse = InverseStep(step);
    const float *x = X(g), *h = H(g);
    float error[kLanes] = {};
    for (int i = 0; i < format_.group; i += kLanes)
      for (int j = 0; j < kLanes; ++j) {
        const float raised = x[i + j] + least;
        const float rest = raised - step * NearestCode(raised * inverse, lowest_, highest_);
        error[j] += h[i + j] * rest * rest;
      }
    return Sum(error);
  }

  /// The best integers of each group at most `away` from those it has (from the ideal ones, to begin with).
  /// Returns the error of the block.
  double ChooseIntegers(KQuantBlock& block, bool is_first, int away) const {
    const float d = block.d / unit_, e = block.e / unit_;
    double total = 0;
    for (int g = 0; g < format_.groups(); ++g) {
      int scale = block.scale[g], least = block.least[g];
      if (is_first) {
        scale = Integer(ideal_[g].scale, d, format_.lowest_scale, format_.most_scale);
        least = Integer(ideal_[g].least, e, 0, format_.most_least);
      }
      float best = HUGE_VALF;
      for (int m = std::max(0, least - away); m <= std::min(format_.most_least, least + away); ++m)
        for (int s = std::max(format_.lowest_scale, scale - away);
             s <= std::min(format_.most_scale, scale + away); ++s) {
          const float error = ErrorOf(g, d * static_cast<float>(s), e * static_cast<float>(m));
          if (!(error < best)) continue;
          best = error;
          block.scale[g] = static_cast<std::int16_t>(s);
          block.least[g] = static_cast<std::int16_t>(m);
        }
      total += best;
    }
    return total;
  }
  static int Integer(float value, float step, int lowest, int highest) {
    return static_cast<int>(std::lround(
        std::clamp(value * InverseStep(step), static_cast<float>(lowest), static_cast<float>(highest))));
  }

  /// The least squares of d and e for the integers and nearest codes; false if nothing changes.
  bool ImproveSteps(KQuantBlock& block) const {
    const float d = block.d / unit_, e = block.e / unit_;
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;  // x is near d a - e b, a = scale q, b = least
    for (int g = 0; g < format_.groups(); ++g) {
      const auto scale = static_cast<float>(block.scale[g]), least = static_cast<float>(block.least[g]);
      const float inverse = InverseStep(d * scale);
      const Moments m = Of(g, inverse, e * least * inverse);
      aa += double{scale} * scale * m.wqq;
      ab += double{scale} * least * m.wq;
      bb += double{least} * least * m.w;
      xa += double{scale} * m.wxq;
      xb += double{least} * m.wx;
    }
    const double determinant = aa * bb - ab * ab;
    double next_d = double{d}, next_e = double{e};
    if (bb > 0 && determinant > 1e-9 * aa * bb) {
      next_d = (xa * bb - xb * ab) / determinant;
      next_e = (xa * ab - xb * aa) / determinant;
    } else if (aa > 0) {
      next_d = (xa + next_e * ab) / aa;
    }
    const float before_d = block.d, before_e = block.e;
    block.d = Half(static_cast<float>(next_d));
    if (format_.most_least > 0) block.e = Half(std::max(0.0f, static_cast<float>(next_e)));
    return block.d != before_d || block.e != before_e;
  }

  void SetCodes(int g, KQuantBlock& block) const {
    const float step = block.d / unit_ * static_cast<float>(block.scale[g]);
    const float least = block.e / unit_ * static_cast<float>(block.least[g]), inverse = InverseStep(step);
    for (int i = g * format_.group; i < (g + 1) * format_.group; ++i)
      block.code[i] = static_cast<std::uint8_t>(
          static_cast<int>(NearestCode((x_[i] + least) * inverse, lowest_, highest_)) + format_.zero);
  }

  const KQuantFormat& format_;
  float lowest_, highest_;  // codes less the code of zero
  float unit_ = 0;          // the largest magnitude; all else is in units of it, so that no square overflows
  float x_[kKQuantElements], h_[kKQuantElements];
  Ideal ideal_[16];
};

}  // namespace

KQuantBlock FitKQuant(const KQuantFormat& format, const float* values, const float* importance) {
  return BlockFit(format, values, importance).Fit();
}

}  // namespace forge::io
