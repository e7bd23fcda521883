// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/gguf_blocks.h"
#include "runtime/ternary/int8_rows.h"
#include "runtime/ternary/weight_arena.h"

namespace forge::runtime {

/// What the bytes of a CodeMatrix follow from, on every target.
struct CodeShape {
  CodeLayout layout = CodeLayout::kTwoBit;
  std::size_t out = 0, in = 0;       // of one plane
  std::size_t block = 0, group = 0;  // as in CodePanels: inputs with one activation scale, one weight scale
  std::size_t planes = 1;            // 1, or 2 of ternary codes (CodeMatrix::PackTwoPlanes)
  bool is_rotated = false;           // as in CodePanels
  bool operator==(const CodeShape&) const = default;
};

/// A linear layer y = x W^T + b with integer weights and int8 activations. For row o of the weights
///   y[o] = b[o] + sum over blocks of float(integer dot product) * (weight scale * activation scale),
/// block after block with fused multiply-adds: the same bits on every target, for any number of threads and
/// of tokens. The codes stream through memory once for each call; layouts: code_panels.h.
class CodeMatrix {
 public:
  CodeMatrix() = default;

  /// Whether a ternary group fits the blocks: a multiple of 64 that divides `in`, or `in`.
  static bool CanHoldGroup(std::size_t in, std::size_t group) {
    return group > 0 && in % group == 0 && (group % 64 == 0 || group == in);
  }
  /// codes [out, in] in {-1, 0, 1}; scales [out, in / group], each a binary16 number; CanHoldGroup. layout:
  /// kTwoBit, or kBase3 and kBase27, which are smaller from blocks of 128 on.
  static CodeMatrix PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                std::size_t out, std::size_t in, std::size_t group, CodeLayout layout,
                                WeightArena& arena);
  /// The sum of two ternary matrices of one group, a multiple of 64. The planes stand side by side along the
  /// inputs, [out, 2 in], and the activations count for both: y[o] sums the blocks of the first, then those
  /// of the second.
  struct Plane {
    std::span<const std::int8_t> codes;
    std::span<const float> scales;
  };
  static CodeMatrix PackTwoPlanes(const Plane& first, const Plane& second, std::size_t out, std::size_t in,
                                  std::size_t group, CodeLayout layout, WeightArena& arena);
  /// The layout for a group: the wanted one where it is smaller than kTwoBit, else that. `wanted` nothing:
  /// kBase3 where it is as fast (HasFastBase3).
  static CodeLayout TernaryLayout(std::size_t in, std::size_t group, std::optional<CodeLayout> wanted = {});
  /// Activations of ternary weights: the largest of 256, 128, 64 that divides the group; 256, and a rest at
  /// the end, where a row is one group.
  static std::size_t TernaryBlock(std::size_t in, std::size_t group);

  /// Whether a matrix can have this shape; `out` and `in` at most 2^31.
  static bool CanHold(const CodeShape& shape);
  /// Bytes of a matrix of a shape that it CanHold.
  static std::size_t BytesOf(const CodeShape& shape);
  /// A matrix whose panels are there already, in a mapped file: BytesOf(shape) bytes at a multiple of 64,
  /// which are not looked at: a code that the layout does not have gives a wrong value, no more.
  static CodeMatrix View(const CodeShape& shape, std::shared_ptr<const std::byte> panels);

  /// The bytes of one row (output feature) of a stored matrix.
  using RowBytes = std::function<std::span<const std::byte>(std::size_t row)>;
  /// Zeros [out, in], whose rows PutRows brings; stored: Q8_0 or Q4_0, `in` a multiple of 32.
  static CodeMatrix Empty(io::BlockType stored, std::size_t out, std::size_t in, WeightArena& arena);
  /// The same of kQ8_0 rows, held as kHalves: for a vocabulary's head, of which FindBestRows (best_rows.h)
  /// reads half.
  static CodeMatrix EmptyHalves(std::size_t out, std::size_t in, WeightArena& arena);
  /// Sets the rows [first, first + count) of an Empty matrix, each once: row i is row(i - first).
  void PutRows(std::size_t first, std::size_t count, const RowBytes& row);
  /// Zeros [out, in] in rotated halves, whose rows PutRotated brings; `in` a multiple of 32. As near to what
  /// it rounds as Q8_0 with blocks of 32 for weights and activations (docs/results.md), in 0.94 of its bytes,
  /// and with an eighth of the scales to multiply with.
  static CodeMatrix EmptyRotated(std::size_t out, std::size_t in, WeightArena& arena);
  /// Sets the rows [first, first + rows) of an EmptyRotated matrix, each once, from values [rows, in],
  /// finite: rotated, and rounded to 8 bits with the scale max / 127 of the row.
  void PutRotated(std::size_t first, std::span<const float> values);

  std::size_t in() const { return panels_.depth / planes_; }
  std::size_t planes() const { return planes_; }
  std::size_t out() const { return out_; }
  std::size_t bytes() const { return panels() * (panels_.panel_bytes + panels_.lower_panel_bytes); }
  CodeLayout layout() const { return panels_.layout; }
  CodeShape shape() const {
    return {panels_.layout, out_, in(), panels_.block, panels_.group, planes_, panels_.is_rotated};
  }
  const CodePanels& code_panels() const { return panels_; }
  /// The panels, as View takes them.
  std::span<const std::byte> data() const { return {panels_.data, bytes()}; }
  /// Values that share an activation scale.
  std::size_t block() const { return panels_.block; }
  /// Room for the activations of `tokens`, as this matrix takes them.
  Int8Rows RoomFor(std::size_t tokens) const;
  /// The same in rows that are there.
  void Fit(Int8Rows& rows, std::size_t tokens) const {
    rows.Resize(tokens, in(), panels_.block, panels_.layout, panels_.is_rotated);
  }

  /// The weights of one output feature, widened: row [in]. For embedding tables, whose rows are tokens; only
  /// of one plane.
  void Row(std::size_t out_feature, float* row) const;

  /// y [rows, out] = x W^T (+ bias [out] if not empty), on the global thread pool; x is quantised, and
  /// rotated, as in RoomFor. The result of a row depends on that row only.
  void Multiply(const Int8Rows& x, std::span<const float> bias, float* y) const;

  /// Whether both halves of the output features are whole panels.
  bool CanGate() const { return out_ % (2 * kCodeRows) == 0; }
  /// y [rows, out / 2] = silu(g) * u, where g and u are the first and second half of x W^T: the bits of
  /// Multiply and then KernelTable::silu_multiply, without the way through memory. Only if CanGate.
  void MultiplyGated(const Int8Rows& x, float* y) const;
  /// Whether y, which has room for the same rows, can be set block by block from MultiplyGated's pieces.
  bool CanGateInto(const Int8Rows& x, const Int8Rows& y) const;
  /// The same quantised, as y.Quantize does, while it is in a cache; only if CanGateInto.
  void MultiplyGated(const Int8Rows& x, Int8Rows& y) const;

 private:
  /// Sizes, without memory.
  explicit CodeMatrix(const CodeShape& shape);
  /// Zeros.
  CodeMatrix(const CodeShape& shape, WeightArena& arena);
  std::size_t panels() const { return (out_ + kCodeRows - 1) / kCodeRows; }
  std::byte* Scales(std::size_t panel, std::size_t block) {
    return writable_ + (panels_.Scales(panel, block) - panels_.data);
  }
  std::byte* Codes(std::size_t panel, std::size_t block) {
    return writable_ + (panels_.Codes(panel, block) - panels_.data);
  }
  std::byte* LowerCodes(std::size_t panel, std::size_t block) {
    return writable_ + (panels_.LowerCodes(panel, block) - panels_.data);
  }
  /// Codes and scales of all rows into the blocks of one plane.
  void PutPlane(std::size_t plane, const Plane& values, std::size_t group);
  void PutTernaryRow(std::size_t row, std::size_t plane, const std::int8_t* codes, const float* scales);
  void PutBlockRow(std::size_t row, std::span<const std::byte> bytes);
  void PutRotatedRow(std::size_t row, std::span<const float> values);
  /// put(row) for the rows [first, first + count), on the threads of the pool.
  void ForEachRow(std::size_t first, std::size_t count, const std::function<void(std::size_t)>& put) const;
  void SetMemory(std::shared_ptr<const std::byte> memory);
  /// The codes of one block, a byte each: out [quads][32 rows][4], with room for four quads more. Not kInt8.
  void Unpack(std::size_t panel, std::size_t block, std::uint8_t* out) const;
  /// sums [32 (last - first)] of one token.
  void SumRow(std::size_t first_panel, std::size_t last_panel, const Int8Rows& rows, float* sums) const;
  /// sums [tokens, 32] of one panel.
  void SumTiles(std::size_t panel, const Int8Rows& x, std::size_t first_tile, std::size_t last_tile,
                float* sums) const;
  using Piece = std::function<void(std::size_t first_panel, std::size_t last_panel, std::size_t first_tile,
                                   std::size_t last_tile)>;
  /// The same of several panels through tables: sums [panels][tiles][16][32].
  void SumPanels(std::size_t first_panel, std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                 std::size_t last_tile, std::vector<float>& sums) const;
  /// MultiplyGated of some of the first half's panels, through tables: as SumPanels leaves them, in front of
  /// what else is in gates.
  void GatePanels(std::size_t first_panel, std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                  std::size_t last_tile, std::vector<float>& gates) const;
  /// Cuts the product with `panels` panels into pieces for the threads of the pool, the panels into
  /// table_pieces if that is not 0, each of some `unit` of them.
  void ForEachPiece(const Int8Rows& x, std::size_t panels, std::size_t table_pieces, const Piece& piece,
                    std::size_t unit = 1) const;

  std::size_t out_ = 0, planes_ = 1;
  std::shared_ptr<const std::byte> memory_;
  std::byte* writable_ = nullptr;  // the same; null for a View
  CodePanels panels_{};
};

}  // namespace forge::runtime
