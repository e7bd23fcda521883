// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

/// What the plots of the report are put together from. Texts are escaped; `css` are classes of the page
/// (report_svg.h).
namespace forge::track::svg {

inline constexpr int kWidth = 720;  // of every plot, in user units; the page scales them

/// The opening tag of a plot; "</svg>" closes it.
std::string Open(int height, std::string_view title);
/// anchor: "start", "middle", "end"
std::string Text(double x, double y, std::string_view anchor, std::string_view css, std::string_view text);
std::string Line(double x1, double y1, double x2, double y2, std::string_view css);
std::string Rect(double x, double y, double width, double height, std::string_view css);

/// Round steps 1, 2, 5 * 10^k that cut [low, high] into 3 to 7 pieces.
std::vector<double> Ticks(double low, double high);

/// Values in [low, high] as places in [from, to].
struct Scale {
  double low, high, from, to;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};
/// With room at both ends; values that are all the same get some too.
Scale PaddedScale(double low, double high, double from, double to);

/// Moves labels apart so that none overlaps the one above it, keeping them above `bottom` where they fit.
///   y  places of the labels, ascending
void Spread(std::vector<double>& y, double distance, double bottom);

}  // namespace forge::track::svg
