// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge::track {

/// Plots of the report as SVG text. Colours are the CSS classes s0 (accent) to s5, ink, muted, grid, which
/// the page defines for light and dark; every plot has a title for screen readers. No plot draws a value that
/// is missing.

/// `<`, `>`, `&`, quotes replaced; for text and attributes of HTML and SVG.
std::string EscapeHtml(std::string_view text);
/// A short number for people: 3 significant digits, "-" for a missing one.
std::string ShortNumber(std::optional<double> value);
/// "1.4 MB" (decimal units, as disks and llama.cpp count).
std::string ShortBytes(double bytes);
/// "48 s", "12 min", "3 h 5 min".
std::string ShortDuration(double seconds);

struct GenerationPoint {
  std::int64_t generation = 0;
  double best = 0, mean = 0;  // over the candidates made in it; best so far is drawn as steps
};
struct ReferenceLine {
  std::string label = {};
  double value = 0;
};
/// Best so far and mean by generation, with a horizontal line for each parent and the uniform average.
std::string FitnessPlot(const std::vector<GenerationPoint>& points, const std::vector<ReferenceLine>& lines);

struct LineageNode {
  std::int64_t id = 0, generation = 0;
  std::string kind = {}, label = {};
  std::optional<double> fitness = {};
  std::vector<std::int64_t> parents = {};
};
/// The champion and its ancestors, breadth first, each once, at most `most`; those that are not in `nodes`
/// are left out.
std::vector<const LineageNode*> Ancestry(const std::vector<LineageNode>& nodes, std::int64_t champion,
                                         std::size_t most);
/// The champion and all its ancestors, one column per generation, at most 200 nodes (nearest ancestors
/// first).
std::string LineagePlot(const std::vector<LineageNode>& nodes, std::int64_t champion);

struct IntervalBar {
  std::string label = {}, note = {};  // note: second line, e.g. "n = 500"
  double value = 0;
  std::optional<double> low = {}, high = {};
  int colour = 1;  // 0 accent, 1 neutral, 3 good
};
/// Horizontal bars with whiskers; the axis starts at 0 (all values are shares or scores >= 0).
std::string IntervalBars(std::string_view title, const std::vector<IntervalBar>& bars, bool percent);

struct SizeBar {
  std::string label = {};
  double bytes = 0;
  std::vector<std::pair<std::string, double>> classes = {};  // name, bytes; may be empty: one block then
};
/// One bar per file, cut into classes of weights; the legend lists the classes.
std::string SizeBars(const std::vector<SizeBar>& bars);

}  // namespace forge::track
