// SPDX-License-Identifier: Apache-2.0
#include "pipeline/layer_paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace forge::pipeline {
namespace {

constexpr std::size_t kGenes = 3;        // of a slice
constexpr double kSourceAtStart = 0.75;  // merged model, a quarter from the first parent

struct Slice {
  int source, first, length;
};

/// Whole numbers from 0 to `count` - 1; the upper border of the box belongs to the last.
int Cut(double gene, int count) { return std::clamp(static_cast<int>(gene), 0, count - 1); }

int TotalOf(const std::vector<Slice>& slices) {
  int total = 0;
  for (const Slice& slice : slices) total += slice.length;
  return total;
}

void Shorten(std::vector<Slice>& slices) {
  Slice* longest = &slices.front();
  for (Slice& slice : slices)
    if (slice.length >= longest->length) longest = &slice;
  --longest->length;
}

void Lengthen(std::vector<Slice>& slices, int layers) {
  for (Slice& slice : slices) {
    if (slice.first + slice.length >= layers) continue;
    ++slice.length;
    return;
  }
  for (Slice& slice : slices) {
    if (slice.first == 0) continue;
    --slice.first;
    ++slice.length;
    return;
  }
}

}  // namespace

LayerPaths::LayerPaths(int parents, int layers, int slices)
    : parents_(parents), layers_(layers), slices_(std::min(slices, layers)) {
  FORGE_CHECK(parents >= 1 && layers >= 1 && slices >= 1);
  for (int slice = 1; slice <= slices_; ++slice) {
    box_.dimensions.push_back({fmt::format("slice {} source", slice), 0, parents + 1.0});
    box_.dimensions.push_back({fmt::format("slice {} first layer", slice), 0, static_cast<double>(layers)});
    box_.dimensions.push_back({fmt::format("slice {} length", slice), 0, static_cast<double>(layers)});
  }
}

std::vector<double> LayerPaths::Identity() const {
  std::vector<double> genes;
  for (int slice = 0; slice < slices_; ++slice) {
    const int first = slice * layers_ / slices_, end = (slice + 1) * layers_ / slices_;
    genes.insert(genes.end(), {kSourceAtStart, first + 0.5, static_cast<double>(end - first)});
  }
  return genes;
}

std::vector<merge::LayerChoice> LayerPaths::Decode(std::span<const double> genes) const {
  FORGE_CHECK(genes.size() == kGenes * static_cast<std::size_t>(slices_));
  std::vector<Slice> slices;
  for (std::size_t i = 0; i < genes.size(); i += kGenes) {
    Slice slice{Cut(genes[i], parents_ + 1), Cut(genes[i + 1], layers_), 0};
    slice.length = std::clamp(static_cast<int>(std::lround(genes[i + 2])), 0, layers_ - slice.first);
    slices.push_back(slice);
  }
  const int fewest = std::max(1, layers_ - 1), most = layers_ + layers_ / 4;
  while (TotalOf(slices) > most) Shorten(slices);
  while (TotalOf(slices) < fewest) Lengthen(slices, layers_);
  std::vector<merge::LayerChoice> path;
  for (const Slice& slice : slices)
    for (int layer = slice.first; layer < slice.first + slice.length; ++layer)
      path.push_back({slice.source, layer});
  return path;
}

}  // namespace forge::pipeline
