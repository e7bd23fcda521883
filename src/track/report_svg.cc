// SPDX-License-Identifier: Apache-2.0
#include "track/report_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>

#include "track/records.h"
#include "track/svg_parts.h"

namespace forge::track {
namespace {

using namespace svg;

std::string FitnessCurves(const std::vector<GenerationPoint>& points, const Scale& x, const Scale& y) {
  std::string best, mean;
  double so_far = points.front().best, last_y = 0;
  for (const GenerationPoint& point : points) {
    so_far = std::max(so_far, point.best);
    const double px = x(static_cast<double>(point.generation)), py = y(so_far);
    if (!best.empty())
      best += fmt::format(" {:.1f},{:.1f}", px, last_y);  // steps: the best does not move in between
    best += fmt::format(" {:.1f},{:.1f}", px, py);
    last_y = py;
    mean += fmt::format(" {:.1f},{:.1f}", px, y(point.mean));
  }
  std::string svg = fmt::format("<polyline points=\"{}\" class=\"curve s1\"/>\n", mean.substr(1)) +
                    fmt::format("<polyline points=\"{}\" class=\"curve s0 bold\"/>\n", best.substr(1));
  for (const GenerationPoint& point : points)
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" class=\"fill s0\"/>\n",
                       x(static_cast<double>(point.generation)), y(point.best));
  return svg;
}

std::string ReferenceLines(std::vector<ReferenceLine> lines, const Scale& x, const Scale& y, double bottom) {
  std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.value > b.value; });
  std::vector<double> label_y;
  for (const ReferenceLine& line : lines) label_y.push_back(y(line.value) + 4);
  Spread(label_y, 14, bottom);
  std::string svg;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    svg += Line(x.from, y(lines[i].value), x.to, y(lines[i].value), "reference");
    svg += Text(x.to + 8, label_y[i], "start", "muted", lines[i].label + " " + ShortNumber(lines[i].value));
  }
  return svg;
}

constexpr std::size_t kMostDrawn = 200;  // nodes of a lineage

struct LineageLayout {
  std::map<std::int64_t, std::pair<double, double>> place;  // by id
  double height = 0, column_width = 0;
  std::string headings;
};

LineageLayout LayOut(const std::vector<const LineageNode*>& ancestry) {
  constexpr double kLane = 46, kTop = 40, kMargin = 70;
  constexpr std::int64_t kSources =
      -1;  // a column of their own, before the generation that is made from them
  std::map<std::int64_t, std::vector<const LineageNode*>> columns;
  for (const LineageNode* node : ancestry)
    columns[IsReference(node->kind) ? kSources : node->generation].push_back(node);
  std::size_t lanes = 1;
  for (auto& [generation, column] : columns) {
    std::sort(column.begin(), column.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
    lanes = std::max(lanes, column.size());
  }
  LineageLayout layout{.place = {}, .height = kTop + kLane * static_cast<double>(lanes) + 10, .headings = {}};
  layout.column_width =
      columns.size() > 1 ? (kWidth - 2 * kMargin) / static_cast<double>(columns.size() - 1) : kWidth;
  double x = kMargin;
  for (const auto& [generation, column] : columns) {
    std::string heading = std::to_string(generation);
    if (generation == kSources)
      heading = "models";
    else if (layout.column_width > 44)
      heading.insert(0, "gen ");
    layout.headings += Text(x, 18, "middle", "muted", heading);
    const double top = kTop + kLane * static_cast<double>(lanes - column.size()) / 2 - 10;
    for (std::size_t i = 0; i < column.size(); ++i)
      layout.place[column[i]->id] = {x, top + kLane * (static_cast<double>(i) + 0.5)};
    x += layout.column_width;
  }
  return layout;
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '"')
      escaped += "&quot;";
    else if (c == '\'')
      escaped += "&#39;";
    else
      escaped += c;
  }
  return escaped;
}

std::string ShortNumber(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return "-";
  const double size = std::abs(*value);
  if (size != 0 && size < 1e-3) return fmt::format("{:.1e}", *value);
  if (size < 10) return fmt::format("{:.3f}", *value);
  return fmt::format("{:.{}f}", *value, size < 100 ? 2 : size < 1000 ? 1 : 0);
}

std::string ShortBytes(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 4; ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2, units[unit]);
}

std::string ShortDuration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (whole < 90) return fmt::format("{} s", whole);
  const std::int64_t minutes = (whole + 30) / 60;
  return minutes < 90 ? fmt::format("{} min", minutes)
                      : fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

std::string FitnessPlot(const std::vector<GenerationPoint>& points, const std::vector<ReferenceLine>& lines) {
  if (points.empty()) return {};
  constexpr double kTop = 34, kBottom = 266, kLeft = 54, kRight = 560;
  double low = points.front().mean, high = points.front().best;
  for (const GenerationPoint& point : points) {
    low = std::min({low, point.mean, point.best});
    high = std::max({high, point.mean, point.best});
  }
  for (const ReferenceLine& line : lines) low = std::min(low, line.value), high = std::max(high, line.value);
  const Scale y = PaddedScale(low, high, kBottom, kTop);
  const auto first = static_cast<double>(points.front().generation),
             last = static_cast<double>(points.back().generation);
  const Scale x{first, std::max(last, first + 1), kLeft + 8, kRight};
  std::string svg = Open(300, "Fitness by generation");
  for (const double tick : Ticks(y.low, y.high))
    svg += Line(kLeft, y(tick), kRight, y(tick), "grid") +
           Text(kLeft - 6, y(tick) + 4, "end", "muted", fmt::format("{:g}", std::round(tick * 1e9) / 1e9));
  for (const double tick : Ticks(x.low, x.high))
    if (tick == std::floor(tick))
      svg += Text(x(tick), kBottom + 18, "middle", "muted", fmt::format("{}", tick));
  svg += Text((kLeft + kRight) / 2, kBottom + 33, "middle", "muted", "generation");
  svg += ReferenceLines(lines, {first, last, kLeft, kRight}, y, kBottom);
  svg += FitnessCurves(points, x, y);
  svg += Rect(kLeft, 10, 14, 4, "fill s0") + Text(kLeft + 20, 16, "start", "ink", "best so far");
  svg += Rect(kLeft + 110, 10, 14, 4, "fill s1") +
         Text(kLeft + 130, 16, "start", "ink", "mean of the generation");
  return svg + "</svg>\n";
}

std::vector<const LineageNode*> Ancestry(const std::vector<LineageNode>& nodes, std::int64_t champion,
                                         std::size_t most) {
  std::map<std::int64_t, const LineageNode*> by_id;
  for (const LineageNode& node : nodes) by_id[node.id] = &node;
  std::vector<const LineageNode*> found;
  std::set<std::int64_t> seen{champion};
  std::deque<std::int64_t> queue{champion};
  while (!queue.empty() && found.size() < most) {
    const auto entry = by_id.find(queue.front());
    queue.pop_front();
    if (entry == by_id.end()) continue;
    found.push_back(entry->second);
    for (const std::int64_t parent : entry->second->parents)
      if (seen.insert(parent).second) queue.push_back(parent);
  }
  return found;
}

std::string LineagePlot(const std::vector<LineageNode>& nodes, std::int64_t champion) {
  const std::vector<const LineageNode*> ancestry = Ancestry(nodes, champion, kMostDrawn);
  if (ancestry.empty()) return {};
  const LineageLayout layout = LayOut(ancestry);
  std::string edges, circles, labels = layout.headings;
  for (const LineageNode* node : ancestry) {
    const auto [x, y] = layout.place.at(node->id);
    for (const std::int64_t parent : node->parents) {
      const auto from = layout.place.find(parent);
      if (from == layout.place.end()) continue;
      const auto [px, py] = from->second;
      edges += fmt::format(
          "<path d=\"M{:.1f},{:.1f}C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}\" class=\"edge\"/>\n", px, py,
          (px + x) / 2, py, (px + x) / 2, y, x, y);
    }
    const bool is_champion = node->id == champion;
    const std::string name = node->label.empty() ? fmt::format("#{}", node->id) : node->label;
    const char* const colour = is_champion ? "s0" : IsReference(node->kind) ? "s2" : "s1";
    circles += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" class=\"fill {}\"><title>{} {} fitness "
        "{}</title></circle>\n",
        x, y, is_champion ? 8 : 5, colour, EscapeHtml(node->kind), EscapeHtml(name),
        ShortNumber(node->fitness));
    // Where columns are narrow, only the ends are named; the others have their tooltip.
    if (layout.column_width > 70 || is_champion || IsReference(node->kind))
      labels += Text(x, y + 20, "middle", "ink",
                     IsReference(node->kind) ? name : fmt::format("{} {}", name, ShortNumber(node->fitness)));
  }
  return Open(static_cast<int>(layout.height), "Lineage of the champion") + edges + circles + labels +
         "</svg>\n";
}

std::string IntervalBars(std::string_view title, const std::vector<IntervalBar>& bars, bool percent) {
  if (bars.empty()) return {};
  constexpr double kLeft = 210, kRight = 610, kRow = 38, kTop = 8;
  double high = 0;
  for (const IntervalBar& bar : bars) high = std::max({high, bar.value, bar.high.value_or(0)});
  const Scale x{0, high > 0 ? high * 1.02 : 1, kLeft, kRight};
  const double bottom = kTop + kRow * static_cast<double>(bars.size());
  const auto number = [&](double value) {
    return percent ? fmt::format("{:.1f} %", value * 100) : ShortNumber(value);
  };
  std::string svg = Open(static_cast<int>(bottom) + 24, title);
  for (const double tick : Ticks(0, x.high))
    svg += Line(x(tick), kTop, x(tick), bottom, "grid") +
           Text(x(tick), bottom + 16, "middle", "muted",
                percent ? fmt::format("{:g} %", std::round(tick * 1e4) / 100) : fmt::format("{:g}", tick));
  double y = kTop;
  for (const IntervalBar& bar : bars) {
    svg += Text(kLeft - 10, y + (bar.note.empty() ? 22 : 16), "end", "ink", bar.label);
    if (!bar.note.empty()) svg += Text(kLeft - 10, y + 30, "end", "muted small", bar.note);
    svg += Rect(kLeft, y + 8, x(bar.value) - kLeft, 20, fmt::format("fill s{} soft", bar.colour));
    double end = x(bar.value);
    if (bar.low && bar.high) {
      svg += Line(x(std::max(*bar.low, 0.0)), y + 18, x(*bar.high), y + 18, "whisker");
      for (const double edge : {std::max(*bar.low, 0.0), *bar.high})
        svg += Line(x(edge), y + 13, x(edge), y + 23, "whisker");
      end = std::max(end, x(*bar.high));
    }
    svg += Text(end + 8, y + 22, "start", "ink", number(bar.value));
    y += kRow;
  }
  return svg + "</svg>\n";
}

std::string SizeBars(const std::vector<SizeBar>& bars) {
  if (bars.empty()) return {};
  constexpr double kLeft = 210, kRight = 610, kRow = 34, kTop = 30;
  double high = 0;
  std::vector<std::string> classes;
  for (const SizeBar& bar : bars) {
    high = std::max(high, bar.bytes);
    for (const auto& [name, bytes] : bar.classes)
      if (std::find(classes.begin(), classes.end(), name) == classes.end()) classes.push_back(name);
  }
  const Scale x{0, high > 0 ? high : 1, kLeft, kRight};
  const auto colour = [&](const std::string& name) {
    const auto index = std::find(classes.begin(), classes.end(), name) - classes.begin();
    return fmt::format("fill s{}", std::min<std::ptrdiff_t>(index, 5));
  };
  std::string svg =
      Open(static_cast<int>(kTop + kRow * static_cast<double>(bars.size())) + 6, "Size on disk");
  double legend = kLeft;
  for (const std::string& name : classes) {
    svg += Rect(legend, 8, 12, 12, colour(name)) + Text(legend + 18, 18, "start", "ink", name);
    legend += 40 + 7.2 * static_cast<double>(name.size());
  }
  double y = kTop;
  for (const SizeBar& bar : bars) {
    svg += Text(kLeft - 10, y + 20, "end", "ink", bar.label);
    double at = kLeft;
    if (bar.classes.empty()) svg += Rect(kLeft, y + 6, x(bar.bytes) - kLeft, 20, "fill s1");
    for (const auto& [name, bytes] : bar.classes) {
      svg += Rect(at, y + 6, x(bytes) - kLeft, 20, colour(name));
      at += x(bytes) - kLeft;
    }
    svg += Text(x(bar.bytes) + 8, y + 20, "start", "ink", ShortBytes(bar.bytes));
    y += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace forge::track
