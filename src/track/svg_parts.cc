// SPDX-License-Identifier: Apache-2.0
#include "track/svg_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "track/report_svg.h"

namespace forge::track::svg {

std::string Open(int height, std::string_view title) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\"><title>{}</title>\n", kWidth,
                     height, EscapeHtml(title), EscapeHtml(title));
}

std::string Text(double x, double y, std::string_view anchor, std::string_view css, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y,
                     anchor, css, EscapeHtml(text));
}

std::string Line(double x1, double y1, double x2, double y2, std::string_view css) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1,
                     x2, y2, css);
}

std::string Rect(double x, double y, double width, double height, std::string_view css) {
  return fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"2\" class=\"{}\"/>\n", x, y,
      std::max(width, 0.5), height, css);
}

std::vector<double> Ticks(double low, double high) {
  const double raw = (high - low) / 5;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double step = power * (raw / power < 1.5 ? 1 : raw / power < 3.5 ? 2 : raw / power < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  for (double i = std::ceil(low / step); i * step <= high + step * 1e-9; ++i) ticks.push_back(i * step);
  return ticks;
}

Scale PaddedScale(double low, double high, double from, double to) {
  const double pad = high > low ? (high - low) * 0.08 : std::max(std::abs(high) * 0.1, 0.01);
  return {low - pad, high + pad, from, to};
}

void Spread(std::vector<double>& y, double distance, double bottom) {
  for (std::size_t i = 1; i < y.size(); ++i) y[i] = std::max(y[i], y[i - 1] + distance);
  const double over = y.empty() ? 0 : y.back() - bottom;
  if (over <= 0) return;
  y.back() = bottom;
  for (std::size_t i = y.size() - 1; i-- > 0;) y[i] = std::min(y[i], y[i + 1] - distance);
}

}  // namespace forge::track::svg
