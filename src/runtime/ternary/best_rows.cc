// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/best_rows.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/thread_pool.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr float kDeviations = 8, kVarianceOfLowerHalf = 21.25f;
constexpr std::size_t kFirstPanels = 16;  // of the highest bounds; the cheapest number (docs/results.md)
constexpr std::size_t kPanelsOfPiece = 32, kPairsOfPiece = 8;

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
    const bool unpacks = kernels.halves->unpacked_upper_tile != nullptr && x_.rows() > kernels.tile_tokens;
    if (unpacks) Unpack(panel, block, count, tile);
    const auto multiply = unpacks ? kernels.halves->unpacked_upper_tile : kernels.halves->upper_tile;
    // The codes behind these, a line for each quad, are fetched by all steps of all calls together.
    const std::byte* next = NextCodes(panel, block + count);
    const std::size_t calls = x_.tiles() * DivideUp(x_.width(), kernels.tile_tokens),
                      steps = 2 * count * DivideUp(tile.quads, 8);
    if (unpacks) tile.lines_of_step = DivideUp(count * tile.quads, calls * steps);
    for (std::size_t i = 0; i < x_.tiles(); ++i) {
      Int8Tile tokens = x_.Tile(i);
      tokens.sums = middles_.data() + i * x_.blocks() * x_.width();
      const std::size_t held = std::min(x_.width(), x_.rows() - i * x_.width());
      for (std::size_t first = 0; first < held; first += kernels.tile_tokens) {
        tile.SetTokens(tokens, first, std::min(kernels.tile_tokens, held - first), block, panels_.block);
        tile.y = y + (i * x_.width() + first) * kCodeRows;
        tile.ahead = next;
        multiply(tile);
        next += tile.lines_of_step * steps * 64;
      }
    }
  }

  /// Codes of a block, behind the last one those of the next panel: to be fetched, so that there need be
  /// none.
  const std::byte* NextCodes(std::size_t panel, std::size_t block) const {
    return block < x_.blocks() ? panels_.Codes(panel, block) : panels_.Codes(panel + 1, 0);
  }

  /// The blocks of the tile, once for all tokens.
  void Unpack(std::size_t panel, std::size_t block, std::size_t count, CodeTile& tile) const {
    thread_local std::vector<std::uint8_t> unpacked;
    const std::size_t stride = tile.quads * kChunkBytes;
    unpacked.resize(std::max(unpacked.size(), count * stride));
    for (std::size_t b = 0; b < count; ++b)
      ChosenCodeKernels().unpack[static_cast<std::size_t>(CodeLayout::kInt4)](
          panels_.Codes(panel, block + b), tile.quads, unpacked.data() + b * stride);
    tile.codes = reinterpret_cast<const std::byte*>(unpacked.data());
    tile.code_stride = stride;
  }

  const CodePanels& panels_;
  const Int8Rows& x_;
  const bool has_one_scale_;           // for each row
  const std::size_t stride_;           // of spreads_
  std::vector<std::int32_t> middles_;  // [tiles][blocks][width]
  std::vector<float> spreads_;
  std::vector<float> units_;  // with has_one_scale_ times the root of all spreads
};

/// Asked about one bound after the other: whether it is one of the `count` highest, of equal ones those that
/// come first.
class HighestBounds {
 public:
  HighestBounds(std::span<const float> all, std::size_t count) {
    thread_local std::vector<float> bounds;
    bounds.assign(all.begin(), all.end());
    const auto place = bounds.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(bounds.begin(), place, bounds.end(), std::greater<>());
    least_ = *place;
    equal_ = count - static_cast<std::size_t>(
                         std::count_if(bounds.begin(), place, [&](float bound) { return bound > least_; }));
  }
  bool operator()(float bound) {
    if (bound == least_ && equal_ > 0) return equal_-- > 0;
    return bound > least_;
  }

 private:
  float least_;
  std::size_t equal_;  // bounds of least_ that still count
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
    MultiplyWhere([&](std::size_t token) {
      return HighestBounds({bounds_.data() + token * panels_, panels_}, std::min(kFirstPanels, panels_));
    });
    // Equal to the bound is not ruled out: among equal products the lowest row counts.
    MultiplyWhere([&](std::size_t token) {
      const float least = best_[token] ? best_[token]->value : -std::numeric_limits<float>::infinity();
      return [least](float bound) { return bound >= least; };
    });
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
    const std::size_t pieces = DivideUp(panels_, kPanelsOfPiece);
    ThreadPool::Global().Run(pieces, [&](std::size_t piece) {
      std::vector<float> bounds(x_.rows());
      const std::size_t last = panels_ * (piece + 1) / pieces;
      for (std::size_t panel = panels_ * piece / pieces; panel < last; ++panel) {
        tiles.Bound(panel, bounds.data());
        for (std::size_t token = 0; token < x_.rows(); ++token)
          bounds_[token * panels_ + panel] = bounds[token];
      }
    });
  }

  /// Exact products of a token with the panels whose bounds are wanted(token)(bound), which may change best_.
  /// Those bounds are no numbers afterwards: a panel is looked into once.
  template <class Wanted>
  void MultiplyWhere(const Wanted& wanted) {
    std::vector<std::vector<Pair>> of_token(x_.rows());
    ParallelFor(x_.rows(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t token = begin; token < end; ++token) {
        auto is_wanted = wanted(token);
        float* const bounds = bounds_.data() + token * panels_;
        for (std::size_t panel = 0; panel < panels_; ++panel) {
          if (!is_wanted(bounds[panel])) continue;
          of_token[token].push_back({panel, token});
          bounds[panel] = std::numeric_limits<float>::quiet_NaN();
        }
      }
    });
    std::vector<Pair> pairs;
    for (const std::vector<Pair>& some : of_token) pairs.insert(pairs.end(), some.begin(), some.end());
    std::sort(pairs.begin(), pairs.end());  // as panels lie in memory
    std::vector<std::optional<BestRow>> found(pairs.size());
    const std::size_t pieces = DivideUp(pairs.size(), kPairsOfPiece);
    ThreadPool::Global().Run(pieces, [&](std::size_t piece) {
      for (std::size_t i = pairs.size() * piece / pieces; i < pairs.size() * (piece + 1) / pieces; ++i)
        found[i] = BestOf(pairs[i]);
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
