// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/code_matrix.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kStoredBlock = 32;  // values of a Q8_0 or Q4_0 block
constexpr float kMostHalf = 65504;        // of binary16

/// All inputs.
std::size_t GroupOfRow(std::size_t in) { return (in + kMostBlock - 1) / kMostBlock * kMostBlock; }

void Add(std::byte& byte, int value) { byte = static_cast<std::byte>(std::to_integer<int>(byte) + value); }

/// Puts the code of input k of a block where the layout has it; `byte` is 4 row + k % 4. The place holds 0.
void PutCode(CodeLayout layout, std::byte* codes, std::size_t quads, std::size_t k, std::size_t byte,
             int code) {
  constexpr int kPowersOf3[] = {1, 3, 9, 27, 81};
  const std::size_t quad = k / 4;
  const auto chunk = [&](std::size_t index) -> std::byte& { return codes[index * kChunkBytes + byte]; };
  switch (layout) {
    case CodeLayout::kTwoBit:
      return Add(chunk(quad / 4), code << (2 * (quad % 4)));
    case CodeLayout::kBase3: {
      const std::size_t in_fives = quads / 5 * 5;
      if (quad < in_fives) return Add(chunk(quad / 5), code * kPowersOf3[quad % 5]);
      return Add(chunk(quads / 5), code << (2 * (quad - in_fives)));
    }
    case CodeLayout::kBase27: {
      constexpr int kPowersOf32[] = {1, 32, 1024};
      const auto [place, digit] = FindBase27Digit(quads, quad, k % 4);
      const std::size_t row = byte / 4;
      std::byte* at = codes + place / 3 * kBase27WordBytes + 4 * (row % 16) + 2 * (row / 16);
      std::uint16_t word;
      std::memcpy(&word, at, 2);
      word = static_cast<std::uint16_t>(word + code * kPowersOf3[digit] * kPowersOf32[place % 3]);
      std::memcpy(at, &word, 2);
      return;
    }
    case CodeLayout::kInt4:
    case CodeLayout::kHalves:  // either half
      return Add(chunk(quad / 2), code << (4 * (quad % 2)));
    case CodeLayout::kInt8:
      return Add(chunk(quad), code);
  }
}

/// Both halves of the code of input k of a block of kHalves.
void PutHalves(std::byte* upper, std::byte* lower, std::size_t quads, std::size_t k, std::size_t lane,
               int code) {
  const std::size_t byte = 4 * lane + k % 4;
  PutCode(CodeLayout::kHalves, upper, quads, k, byte, code / 16);
  PutCode(CodeLayout::kHalves, lower, quads, k, byte, code % 16);
}

}  // namespace

CodeMatrix::CodeMatrix(const CodeShape& shape) : out_(shape.out), planes_(shape.planes) {
  const std::size_t depth = shape.planes * shape.in;
  const std::size_t blocks_of_group = (shape.group + shape.block - 1) / shape.block;
  panels_ = {.layout = shape.layout,
             .data = nullptr,
             .depth = depth,
             .block = shape.block,
             .group = blocks_of_group * shape.block,
             .is_rotated = shape.is_rotated};
  panels_.block_bytes = CodeBlockBytes(shape.layout, shape.block);
  panels_.group_bytes = 2 * kCodeRows + blocks_of_group * panels_.block_bytes;
  const std::size_t groups = (depth + shape.group - 1) / shape.group, rest = depth % shape.block;
  panels_.panel_bytes = groups * panels_.group_bytes;
  if (rest != 0) panels_.panel_bytes -= panels_.block_bytes - CodeBlockBytes(shape.layout, rest);
  if (shape.layout == CodeLayout::kHalves)
    panels_.lower_panel_bytes = panels_.panel_bytes - groups * 2 * kCodeRows;
}

void CodeMatrix::SetMemory(std::shared_ptr<const std::byte> memory) {
  memory_ = std::move(memory);
  panels_.data = memory_.get();
  if (panels_.layout == CodeLayout::kHalves) panels_.lower = panels_.data + panels() * panels_.panel_bytes;
}

CodeMatrix::CodeMatrix(const CodeShape& shape, WeightArena& arena) : CodeMatrix(shape) {
  const std::shared_ptr<std::byte> memory = arena.Allocate(bytes());
  writable_ = memory.get();
  SetMemory(memory);
}

bool CodeMatrix::CanHold(const CodeShape& shape) {
  constexpr std::size_t kLimit = std::size_t{1} << 31;
  const auto& [layout, out, in, block, group, planes, is_rotated] = shape;
  if (out == 0 || in == 0 || out > kLimit || in > kLimit || planes == 0 || planes > 2) return false;
  if (is_rotated)
    return layout == CodeLayout::kHalves && planes == 1 && in % kRotation == 0 && block == kMostBlock &&
           group == GroupOfRow(in);
  if (planes == 2)
    return IsTernary(layout) && layout != CodeLayout::kBase27 && group > 0 && group % 64 == 0 &&
           in % group == 0 && block == TernaryBlock(2 * in, group);
  if (!IsTernary(layout)) return block == kStoredBlock && group == kStoredBlock && in % kStoredBlock == 0;
  if (group >= in) return block == kMostBlock && group == GroupOfRow(in);
  return CanHoldGroup(in, group) && block == TernaryBlock(in, group);
}

std::size_t CodeMatrix::BytesOf(const CodeShape& shape) { return CodeMatrix(shape).bytes(); }

CodeMatrix CodeMatrix::View(const CodeShape& shape, std::shared_ptr<const std::byte> panels) {
  FORGE_CHECK(CanHold(shape) && reinterpret_cast<std::uintptr_t>(panels.get()) % 64 == 0);
  CodeMatrix matrix(shape);
  matrix.SetMemory(std::move(panels));
  return matrix;
}

std::size_t CodeMatrix::TernaryBlock(std::size_t in, std::size_t group) {
  if (group >= in) return kMostBlock;
  return group % 256 == 0 ? 256 : group % 128 == 0 ? 128 : 64;
}

CodeLayout CodeMatrix::TernaryLayout(std::size_t in, std::size_t group, std::optional<CodeLayout> wanted) {
  const std::size_t block = TernaryBlock(in, group);
  const CodeLayout layout = wanted.value_or(HasFastBase3() ? CodeLayout::kBase3 : CodeLayout::kTwoBit);
  return CodeBlockBytes(layout, block) < CodeBlockBytes(CodeLayout::kTwoBit, block) ? layout
                                                                                    : CodeLayout::kTwoBit;
}

CodeMatrix CodeMatrix::PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                   std::size_t out, std::size_t in, std::size_t group, CodeLayout layout,
                                   WeightArena& arena) {
  FORGE_CHECK(IsTernary(layout) && in > 0 &&
              (group == in || (group > 0 && group % 64 == 0 && in % group == 0)));
  const std::size_t groups = in / group;
  FORGE_CHECK(codes.size() == out * in && scales.size() == out * groups);
  CodeMatrix matrix({layout, out, in, TernaryBlock(in, group), group}, arena);
  matrix.PutPlane(0, {codes, scales}, group);
  return matrix;
}

CodeMatrix CodeMatrix::PackTwoPlanes(const Plane& first, const Plane& second, std::size_t out, std::size_t in,
                                     std::size_t group, CodeLayout layout, WeightArena& arena) {
  FORGE_CHECK(IsTernary(layout) && layout != CodeLayout::kBase27 && group > 0 && group % 64 == 0 &&
              in % group == 0);
  for (const Plane* plane : {&first, &second})
    FORGE_CHECK(plane->codes.size() == out * in && plane->scales.size() == out * (in / group));
  // TernaryBlock of a group that is all inputs may leave a rest, which must not reach into the other plane.
  CodeMatrix matrix({layout, out, in, TernaryBlock(2 * in, group), group, 2}, arena);
  matrix.PutPlane(0, first, group);
  matrix.PutPlane(1, second, group);
  return matrix;
}

void CodeMatrix::PutPlane(std::size_t plane, const Plane& values, std::size_t group) {
  ParallelFor(panels(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin * kCodeRows; row < std::min(out_, end * kCodeRows); ++row)
      PutTernaryRow(row, plane, values.codes.data() + row * in(),
                    values.scales.data() + row * (in() / group));
  });
}

void CodeMatrix::PutTernaryRow(std::size_t row, std::size_t plane, const std::int8_t* codes,
                               const float* scales) {
  const std::size_t panel = row / kCodeRows, lane = row % kCodeRows;
  const std::size_t blocks = panels_.blocks() / planes_;
  for (std::size_t block = plane * blocks; block < (plane + 1) * blocks; ++block) {
    const std::size_t length = panels_.BlockLength(block), start = block * panels_.block - plane * in();
    const float scale = scales[start / panels_.group];
    FORGE_CHECK(RoundToHalf(scale) == scale);
    const std::uint16_t bits = FloatToHalf(scale);
    std::memcpy(Scales(panel, block) + 2 * lane, &bits, 2);
    std::byte* target = Codes(panel, block);
    for (std::size_t k = 0; k < length; ++k)
      PutCode(panels_.layout, target, Quads(length), k, 4 * lane + k % 4, codes[start + k] + 1);
  }
}

CodeMatrix CodeMatrix::Empty(io::BlockType stored, std::size_t out, std::size_t in, WeightArena& arena) {
  FORGE_CHECK((stored == io::BlockType::kQ8_0 || stored == io::BlockType::kQ4_0) && in % kStoredBlock == 0);
  const CodeLayout layout = stored == io::BlockType::kQ8_0 ? CodeLayout::kInt8 : CodeLayout::kInt4;
  return CodeMatrix({layout, out, in, kStoredBlock, kStoredBlock}, arena);
}

CodeMatrix CodeMatrix::EmptyHalves(std::size_t out, std::size_t in, WeightArena& arena) {
  FORGE_CHECK(in % kStoredBlock == 0);
  return CodeMatrix({CodeLayout::kHalves, out, in, kStoredBlock, kStoredBlock}, arena);
}

CodeMatrix CodeMatrix::EmptyRotated(std::size_t out, std::size_t in, WeightArena& arena) {
  FORGE_CHECK(in % kRotation == 0);
  return CodeMatrix({.layout = CodeLayout::kHalves,
                     .out = out,
                     .in = in,
                     .block = kMostBlock,
                     .group = GroupOfRow(in),
                     .is_rotated = true},
                    arena);
}

Int8Rows CodeMatrix::RoomFor(std::size_t tokens) const {
  Int8Rows rows;
  Fit(rows, tokens);
  return rows;
}

void CodeMatrix::ForEachRow(std::size_t first, std::size_t count,
                            const std::function<void(std::size_t)>& put) const {
  FORGE_CHECK(first + count <= out_ && !IsTernary(panels_.layout) && writable_ != nullptr);
  const std::size_t first_panel = first / kCodeRows;
  const std::size_t panels = (first + count + kCodeRows - 1) / kCodeRows - first_panel;
  ParallelFor(panels, 2, [&](std::size_t begin, std::size_t end) {
    const std::size_t last = std::min(first + count, (first_panel + end) * kCodeRows);
    for (std::size_t r = std::max(first, (first_panel + begin) * kCodeRows); r < last; ++r) put(r);
  });
}

void CodeMatrix::PutRows(std::size_t first, std::size_t count, const RowBytes& row) {
  FORGE_CHECK(!panels_.is_rotated);
  ForEachRow(first, count, [&](std::size_t r) { PutBlockRow(r, row(r - first)); });
}

void CodeMatrix::PutRotated(std::size_t first, std::span<const float> values) {
  FORGE_CHECK(panels_.is_rotated && values.size() % in() == 0);
  ForEachRow(first, values.size() / in(),
             [&](std::size_t r) { PutRotatedRow(r, values.subspan((r - first) * in(), in())); });
}

void CodeMatrix::PutRotatedRow(std::size_t row, std::span<const float> values) {
  thread_local std::vector<float> rotated;
  rotated.assign(values.begin(), values.end());
  RotateInputs(rotated);
  float most = 0;
  for (const float value : rotated) most = std::max(most, std::fabs(value));
  const float scale = RoundToHalf(std::min(most / 127, kMostHalf));
  const std::uint16_t bits = FloatToHalf(scale);
  const std::size_t panel = row / kCodeRows, lane = row % kCodeRows;
  std::memcpy(Scales(panel, 0) + 2 * lane, &bits, 2);
  for (std::size_t block = 0; block < panels_.blocks(); ++block) {
    const std::size_t length = panels_.BlockLength(block);
    std::byte *upper = Codes(panel, block), *lower = LowerCodes(panel, block);
    for (std::size_t k = 0; k < length; ++k) {
      const float value = rotated[block * panels_.block + k];
      const float steps = scale == 0 ? 0 : std::clamp(value / scale, -127.0f, 127.0f);
      PutHalves(upper, lower, Quads(length), k, lane, 128 + static_cast<int>(std::nearbyint(steps)));
    }
  }
}

void CodeMatrix::PutBlockRow(std::size_t row, std::span<const std::byte> bytes) {
  const std::size_t panel = row / kCodeRows, lane = row % kCodeRows;
  const bool is_halves = panels_.layout == CodeLayout::kHalves,
             is_int8 = is_halves || panels_.layout == CodeLayout::kInt8;
  const std::size_t stored_bytes = 2 + (is_int8 ? kStoredBlock : kStoredBlock / 2);
  FORGE_CHECK(bytes.size() == panels_.blocks() * stored_bytes);
  for (std::size_t block = 0; block < panels_.blocks(); ++block) {
    const std::byte* source = bytes.data() + block * stored_bytes;
    std::memcpy(Scales(panel, block) + 2 * lane, source, 2);
    source += 2;
    std::byte* target = Codes(panel, block);
    std::byte* lower = is_halves ? LowerCodes(panel, block) : nullptr;
    for (std::size_t k = 0; k < kStoredBlock; ++k) {
      // Q4_0 has value k in the low half of byte k, value 16 + k in its high half.
      const int code = is_int8 ? (std::to_integer<int>(source[k]) ^ 128)
                               : std::to_integer<int>(source[k % 16]) >> (4 * (k / 16)) & 15;
      if (is_halves)
        PutHalves(target, lower, kStoredBlock / 4, k, lane, code);
      else
        PutCode(panels_.layout, target, kStoredBlock / 4, k, 4 * lane + k % 4, code);
    }
  }
}

void CodeMatrix::Row(std::size_t out_feature, float* row) const {
  const std::size_t panel = out_feature / kCodeRows, lane = out_feature % kCodeRows;
  FORGE_CHECK(planes_ == 1);
  thread_local std::vector<std::uint8_t> unpacked;
  unpacked.resize((Quads(panels_.block) + 4) * kChunkBytes);
  for (std::size_t block = 0; block < panels_.blocks(); ++block) {
    const std::size_t length = panels_.BlockLength(block);
    const auto* codes = reinterpret_cast<const std::uint8_t*>(panels_.Codes(panel, block));
    if (panels_.layout != CodeLayout::kInt8) {
      Unpack(panel, block, unpacked.data());
      codes = unpacked.data();
    }
    std::uint16_t bits;
    std::memcpy(&bits, panels_.Scales(panel, block) + 2 * lane, 2);
    const float scale = HalfToFloat(bits);
    for (std::size_t k = 0; k < length; ++k)
      row[block * panels_.block + k] =
          scale *
          static_cast<float>(codes[k / 4 * kChunkBytes + 4 * lane + k % 4] - (1 << ZeroBits(panels_.layout)));
  }
  if (panels_.is_rotated) RotateInputs({row, in()});
}

}  // namespace forge::runtime
