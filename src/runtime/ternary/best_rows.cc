// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/best_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/thread_pool.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr float kDeviations = 8, kVarianceOfLowerHalf = 21.25f;
constexpr std::size_t kFirstPanels = 16;  // of the highest bounds; the cheapest number (docs/results.md)
constexpr std::size_t kPanelsOfPiece = 32;

/// SpreadTile for a token: unit 8 max |s|, so that no square leaves the range of a float.
struct Spread {
  explicit Spread(const Int8Rows& rows) : of_block(rows.blocks()) {
    const Int8Tile x = rows.Tile(0);
    float most = 0;
    for (std::size_t block = 0; block < rows.blocks(); ++block) most = std::max(most, x.scales[block]);
    unit = kDeviations * most;
    if (most == 0) return;
    for (std::size_t block = 0; block < rows.blocks(); ++block) {
      std::int32_t squares = 0;  // at most kMostBlock * 127^2
      for (std::size_t k = block * rows.block(); k < std::min((block + 1) * rows.block(), rows.depth()); ++k)
        squares += x.codes[k] * x.codes[k];
      const float scale = x.scales[block] / most;
      of_block[block] = kVarianceOfLowerHalf * static_cast<float>(squares) * (scale * scale);
    }
  }
  std::vector<float> of_block;
  float unit = 0;
};

/// The bounds of many tokens, panel by panel.
class TileBounds {
 public:
  TileBounds(const CodePanels& panels, const Int8Rows& x, std::span<const Spread> spreads)
      : panels_(panels),
        x_(x),
        has_one_scale_(panels.group >= panels.depth),
        stride_((x.rows() + 3) / 4 * 4),
        middles_(x.tiles() * x.blocks() * x.width()) {
    for (std::size_t tile = 0; tile < x.tiles(); ++tile)
      for (std::size_t i = 0; i < x.blocks() * x.width(); ++i)
        middles_[tile * x.blocks() * x.width() + i] = (kTwiceMiddle * x.Tile(tile).sums[i]) >> 1;
    spreads_.resize(stride_ * x.blocks());
    for (std::size_t token = 0; token < x.rows(); ++token) {
      const Spread& spread = spreads[token];
      for (std::size_t block = 0; block < x.blocks(); ++block)
        spreads_[block * stride_ + token] = spread.of_block[block];
      const float variance = std::accumulate(spread.of_block.begin(), spread.of_block.end(), 0.0f);
      units_.push_back(has_one_scale_ ? spread.unit * std::sqrt(variance) : spread.unit);
    }
  }

  /// bounds [tokens].
  void Bound(std::size_t panel, float* bounds) const {
    thread_local std::vector<float> y;
    y.assign(x_.tiles() * x_.width() * kCodeRows, 0.0f);
    // Some inputs at a time, whose codes and activations stay in the first cache for all tokens.
    const std::size_t whole = panels_.depth / panels_.block,
                      most = std::clamp<std::size_t>(kMostBlock / panels_.block, 1, kBlocksOfTile);
    for (std::size_t block = 0, count; block < x_.blocks(); block += count) {
      count = block < whole ? std::min(most, whole - block) : 1;
      AddBlocks(panel, block, count, y.data());
    }
    const HalfKernels& kernels = *ChosenCodeKernels().halves;
    if (has_one_scale_)
      return kernels.bound_rows(panels_.Scales(panel, 0), x_.rows(), units_.data(), y.data(), bounds);
    kernels.bound_tokens(panels_, panel, {x_.rows(), stride_, spreads_.data(), units_.data()}, y.data(),
                         bounds);
  }

 private:
  void AddBlocks(std::size_t panel, std::size_t block, std::size_t count, float* y) const {
    CodeTile tile(panels_, panel, block, count);
    tile.zero_bits = 0;  // the middles are what is taken off
    const CodeKernels& kernels = ChosenCodeKernels();
    for (std::size_t i = 0; i < x_.tiles(); ++i) {
      Int8Tile tokens = x_.Tile(i);
      tokens.sums = middles_.data() + i * x_.blocks() * x_.width();
      const std::size_t held = std::min(x_.width(), x_.rows() - i * x_.width());
      for (std::size_t first = 0; first < held; first += kernels.tile_tokens) {
        tile.SetTokens(tokens, first, std::min(kernels.tile_tokens, held - first), block, panels_.block);
        tile.y = y + (i * x_.width() + first) * kCodeRows;
        kernels.halves->upper_tile(tile);
      }
    }
  }

  const CodePanels& panels_;
  const Int8Rows& x_;
  const bool has_one_scale_;           // for each row
  const std::size_t stride_;           // of spreads_
  std::vector<std::int32_t> middles_;  // [tiles][blocks][width]
  std::vector<float> spreads_;
  std::vector<float> units_;  // with has_one_scale_ times the root of all spreads
};

class Search {
 public:
  Search(const CodeMatrix& matrix, const Int8Rows& x, std::span<const std::span<const int>> banned)
      : matrix_(matrix),
        panels_((matrix.out() + kCodeRows - 1) / kCodeRows),
        x_(x),
        banned_(banned),
        best_(x.rows()),
        exact_panels_(x.rows()) {
    for (std::size_t token = 0; token < x.rows(); ++token) {
      alone_.push_back(x.Row(token));
      spreads_.emplace_back(alone_.back());
    }
  }

  std::vector<std::optional<BestRow>> Run() {
    if (x_.rows() == 1)
      BoundOne();
    else
      BoundMany();
    std::vector<std::vector<std::size_t>> orders(x_.rows());  // of the panels, the highest bounds first
    const std::size_t first = std::min(kFirstPanels, panels_);
    ParallelFor(x_.rows(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t token = begin; token < end; ++token) orders[token] = HighestFirst(token, first);
    });
    std::vector<Pair> pairs;
    for (std::size_t token = 0; token < x_.rows(); ++token)
      for (std::size_t i = 0; i < first; ++i) pairs.push_back({orders[token][i], token});
    Multiply(pairs);
    pairs.clear();
    // Equal to the bound is not ruled out: among equal products the lowest row counts.
    for (std::size_t token = 0; token < x_.rows(); ++token)
      for (std::size_t i = first; i < panels_; ++i)
        if (const std::size_t panel = orders[token][i];
            !best_[token] || !(bounds_[token * panels_ + panel] < best_[token]->value))
          pairs.push_back({panel, token});
    Multiply(pairs);
    for (std::size_t token = 0; token < x_.rows(); ++token)
      if (best_[token]) best_[token]->exact_rows = exact_panels_[token] * kCodeRows;
    return std::move(best_);
  }

 private:
  struct Pair {
    std::size_t panel, token;
    auto operator<=>(const Pair&) const = default;
  };

  void BoundOne() {
    bounds_.resize(panels_);
    const SpreadTile tile{alone_[0].Tile(0), spreads_[0].of_block.data(), spreads_[0].unit};
    ParallelFor(panels_, kPanelsOfPiece, [&](std::size_t first, std::size_t last) {
      ChosenCodeKernels().halves->bound_panels(matrix_.code_panels(), tile, first, last,
                                               bounds_.data() + first);
    });
  }

  void BoundMany() {
    bounds_.resize(x_.rows() * panels_);
    const TileBounds tiles(matrix_.code_panels(), x_, spreads_);
    ParallelFor(panels_, kPanelsOfPiece, [&](std::size_t first, std::size_t last) {
      std::vector<float> bounds(x_.rows());
      for (std::size_t panel = first; panel < last; ++panel) {
        tiles.Bound(panel, bounds.data());
        for (std::size_t token = 0; token < x_.rows(); ++token)
          bounds_[token * panels_ + panel] = bounds[token];
      }
    });
  }

  /// All panels, of which the first `count` have the highest bounds.
  std::vector<std::size_t> HighestFirst(std::size_t token, std::size_t count) const {
    const float* bounds = bounds_.data() + token * panels_;
    std::vector<std::size_t> order(panels_);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count - 1), order.end(),
                     [&](std::size_t a, std::size_t b) { return bounds[a] > bounds[b]; });
    return order;
  }

  /// Exact products of some panels with some tokens, which may change best_.
  void Multiply(std::vector<Pair>& pairs) {
    std::sort(pairs.begin(), pairs.end());  // as panels lie in memory
    std::vector<std::optional<BestRow>> found(pairs.size());
    ParallelFor(pairs.size(), 2, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) found[i] = BestOf(pairs[i]);
    });
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      std::optional<BestRow>& best = best_[pairs[i].token];
      const std::optional<BestRow>& row = found[i];
      if (row && (!best || row->value > best->value || (row->value == best->value && row->row < best->row)))
        best = row;
      ++exact_panels_[pairs[i].token];
    }
  }

  std::optional<BestRow> BestOf(const Pair& pair) const {
    float sums[kCodeRows];
    ChosenCodeKernels().halves->multiply_row(matrix_.code_panels(), alone_[pair.token].Tile(0), pair.panel,
                                             pair.panel + 1, sums);
    std::optional<BestRow> best;
    const std::size_t first = pair.panel * kCodeRows, rows = std::min(kCodeRows, matrix_.out() - first);
    const std::span<const int> banned = banned_[pair.token];
    for (std::size_t r = 0; r < rows; ++r)
      if ((!best || sums[r] > best->value) &&
          std::find(banned.begin(), banned.end(), static_cast<int>(first + r)) == banned.end())
        best = {first + r, sums[r], 0};
    return best;
  }

  const CodeMatrix& matrix_;
  const std::size_t panels_;
  const Int8Rows& x_;
  const std::span<const std::span<const int>> banned_;
  std::vector<Int8Rows> alone_;  // [tokens]
  std::vector<Spread> spreads_;  // [tokens]
  std::vector<float> bounds_;    // [tokens][panels], of their best rows
  std::vector<std::optional<BestRow>> best_;
  std::vector<std::size_t> exact_panels_;
};

}  // namespace

std::vector<std::optional<BestRow>> FindBestRows(const CodeMatrix& matrix, const Int8Rows& x,
                                                 std::span<const std::span<const int>> banned) {
  FORGE_CHECK(matrix.layout() == CodeLayout::kHalves && x.depth() == matrix.in() &&
              x.block() == matrix.block() && x.is_rotated() == matrix.shape().is_rotated &&
              banned.size() == x.rows() && (x.rows() == 1 || CanBoundMany(matrix)));
  return Search(matrix, x, banned).Run();
}

bool CanBoundMany(const CodeMatrix& matrix) {
  return matrix.shape().is_rotated || ChosenCodeKernels().halves->bound_tokens != nullptr;
}

}  // namespace forge::runtime
