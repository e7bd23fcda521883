// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/choices.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/error.h"

namespace forge::merge::mergekit {
namespace {

/// Bits of floats that are not negative are in the order of the floats, with NaN above infinity.
std::vector<std::uint32_t> OrderedBits(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value) & 0x7fffffffU);
  return bits;
}

/// 1 for the `count` smallest; of equal ones those of the highest indices.
Mask Smallest(const std::vector<std::uint32_t>& values, std::size_t count) {
  if (count == 0) return Mask(values.size(), 0);
  if (count >= values.size()) return Mask(values.size(), 1);
  std::vector<std::uint32_t> sorted = values;
  const auto border_place = sorted.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(sorted.begin(), border_place, sorted.end());
  const std::uint32_t border = *border_place;
  auto at_border = static_cast<std::ptrdiff_t>(count) -  // places left for values equal to the border
                   std::count_if(values.begin(), values.end(), [&](auto value) { return value < border; });
  Mask smallest(values.size());
  for (std::size_t i = values.size(); i-- > 0;)
    smallest[i] = values[i] < border || (values[i] == border && at_border-- > 0);
  return smallest;
}

std::vector<std::uint32_t> SortedKept(const std::vector<std::uint32_t>& values, const Mask& mask) {
  std::vector<std::uint32_t> kept;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (mask[i] != 0) kept.push_back(values[i]);
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace

Mask KeepRanks(std::span<const float> values, std::size_t low, std::size_t high) {
  const std::vector<std::uint32_t> bits = OrderedBits(values);
  Mask kept = Smallest(bits, high);
  const Mask dropped = Smallest(bits, low);
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] &= static_cast<std::uint8_t>(dropped[i] ^ 1U);
  return kept;
}

Mask KeepRanks(const Operands& operands, std::optional<std::size_t> source, std::span<const float> values,
               std::size_t low, std::size_t high) {
  Mask kept = KeepRanks(values, low, high);
  std::optional<Mask> stored = Stored(operands, source);
  if (!stored) return kept;
  const std::vector<std::uint32_t> bits = OrderedBits(values);
  if (SortedKept(bits, *stored) != SortedKept(bits, kept))
    throw Error({.what = "cannot merge " + operands.task.name + " with the stored choices",
                 .why = "the choice stored for it keeps other magnitudes than " + operands.task.method->name +
                        " does with these models and parameters",
                 .fix = "give the choices that mergekit made in this very merge, or none"});
  return *std::move(stored);
}

std::optional<Mask> Stored(const Operands& operands, std::optional<std::size_t> source) {
  if (!operands.choices) return std::nullopt;
  std::optional<Mask> stored = operands.choices(operands.task, source);
  if (stored) FORGE_CHECK(stored->size() == operands.size());
  return stored;
}

Random DrawsFor(const Operands& operands, std::size_t source) {
  const int model = operands.task.sources[source].model;
  return Random(operands.seed ^ StableHash(operands.task.name), "merge/keep",
                static_cast<std::uint64_t>(model));
}

}  // namespace forge::merge::mergekit
