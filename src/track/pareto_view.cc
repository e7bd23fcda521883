// SPDX-License-Identifier: Apache-2.0
#include "track/pareto_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "track/report_svg.h"
#include "track/svg_parts.h"

namespace forge::track {
namespace {

using svg::Scale;

struct Point {
  std::int64_t number = 0;
  std::string name;
  std::vector<double> scores;  // by domain
  bool is_reference = false, is_on_front = false, is_champion = false;
};

/// The scores of these domains, if all are there.
std::optional<std::vector<double>> ScoresOf(const Json& scores, const std::vector<std::string>& domains) {
  std::vector<double> values;
  for (const std::string& domain : domains) {
    const auto found = scores.find(domain);
    if (found == scores.end() || !found->is_number() || !std::isfinite(found->get<double>()))
      return std::nullopt;
    values.push_back(found->get<double>());
  }
  return values;
}

std::vector<std::string> DomainsOf(const Json& front) {
  std::vector<std::string> domains;
  if (!front.empty() && front[0].is_object() && front[0].value("scores", Json()).is_object())
    for (const auto& [domain, score] : front[0]["scores"].items()) domains.push_back(domain);
  return domains;
}

std::vector<Point> PointsOf(const std::vector<Candidate>& candidates, const std::vector<std::string>& domains,
                            const std::set<std::int64_t>& front, std::int64_t champion) {
  std::vector<Point> points;
  for (const Candidate& candidate : candidates) {
    const auto scores = ScoresOf(candidate.scores, domains);
    if (!scores) continue;
    points.push_back({.number = candidate.id,
                      .name = candidate.label.empty() ? fmt::format("#{}", candidate.id) : candidate.label,
                      .scores = *scores,
                      .is_reference = IsReference(candidate.kind),
                      .is_on_front = front.contains(candidate.id),
                      .is_champion = candidate.id == champion});
  }
  // What is looked for is drawn last, over the rest.
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
    const auto rank = [](const Point& p) { return p.is_champion * 4 + p.is_reference * 2 + p.is_on_front; };
    return rank(a) < rank(b);
  });
  return points;
}

Scale ScaleOf(const std::vector<Point>& points, std::size_t domain, double from, double to) {
  double low = points[0].scores[domain], high = low;
  for (const Point& point : points) {
    low = std::min(low, point.scores[domain]);
    high = std::max(high, point.scores[domain]);
  }
  return svg::PaddedScale(low, high, from, to);
}

std::string Tick(double value) { return fmt::format("{:g}", std::round(value * 1e9) / 1e9 + 0.0); }  // no -0

/// The border of what the front dominates, as steps: both scores are to be high.
std::string FrontSteps(std::vector<Point> points, const Scale& x, const Scale& y) {
  std::erase_if(points, [](const Point& point) { return !point.is_on_front; });
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.scores[0] < b.scores[0]; });
  if (points.empty()) return {};
  std::string path = fmt::format("{:.1f},{:.1f}", x.from, y(points[0].scores[1]));
  for (std::size_t i = 0; i < points.size(); ++i) {
    path += fmt::format(" {:.1f},{:.1f}", x(points[i].scores[0]), y(points[i].scores[1]));
    const double below = i + 1 < points.size() ? y(points[i + 1].scores[1]) : y.from;
    path += fmt::format(" {:.1f},{:.1f}", x(points[i].scores[0]), below);
  }
  return fmt::format("<polyline points=\"{}\" class=\"front\"/>\n", path);
}

std::string Scatter(const std::vector<Point>& points, const std::vector<std::string>& domains) {
  constexpr double kLeft = 64, kRight = 560, kTop = 16, kBottom = 356;
  const Scale x = ScaleOf(points, 0, kLeft, kRight), y = ScaleOf(points, 1, kBottom, kTop);
  std::string text = svg::Open(400, "Pareto front");
  for (const double tick : svg::Ticks(y.low, y.high))
    text += svg::Line(kLeft, y(tick), kRight, y(tick), "grid") +
            svg::Text(kLeft - 6, y(tick) + 4, "end", "muted", Tick(tick));
  for (const double tick : svg::Ticks(x.low, x.high))
    text += svg::Line(x(tick), kTop, x(tick), kBottom, "grid") +
            svg::Text(x(tick), kBottom + 18, "middle", "muted", Tick(tick));
  text += svg::Text((kLeft + kRight) / 2, kBottom + 36, "middle", "ink", domains[0]) +
          svg::Text(kLeft, kTop - 4, "start", "ink", domains[1]) + FrontSteps(points, x, y);
  std::vector<std::pair<double, const Point*>> labels;
  for (const Point& point : points) {
    const bool is_named = point.is_champion || point.is_reference;
    const char* const css = point.is_champion    ? "fill s0"
                            : point.is_reference ? "fill s2"
                            : point.is_on_front  ? "fill s0 soft"
                                                 : "dot";
    text += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" class=\"{}\"><title>{}: {} {}, {} "
        "{}</title></circle>\n",
        x(point.scores[0]), y(point.scores[1]),
        point.is_champion ? 8
        : is_named        ? 6
                          : 4,
        css, EscapeHtml(point.name), EscapeHtml(domains[0]), ShortNumber(point.scores[0]),
        EscapeHtml(domains[1]), ShortNumber(point.scores[1]));
    if (is_named) labels.emplace_back(y(point.scores[1]) + 4, &point);
  }
  // Names stand in the margin, a line leads to each.
  std::sort(labels.begin(), labels.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<double> places;
  for (const auto& [place, point] : labels) places.push_back(place);
  svg::Spread(places, 15, kBottom);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const Point& point = *labels[i].second;
    text += svg::Line(x(point.scores[0]), y(point.scores[1]), kRight + 6, places[i] - 4, "grid") +
            svg::Text(kRight + 10, places[i], "start", "ink",
                      point.is_champion ? "champion " + point.name : point.name);
  }
  return text + "</svg>\n";
}

std::string ParallelCoordinates(const std::vector<Point>& points, const std::vector<std::string>& domains) {
  constexpr double kLeft = 60, kRight = 560, kTop = 40, kBottom = 330;
  const double step = (kRight - kLeft) / static_cast<double>(domains.size() - 1);
  std::vector<Scale> scales;
  std::string text = svg::Open(352, "Pareto front");
  for (std::size_t d = 0; d < domains.size(); ++d) {
    const double x = kLeft + step * static_cast<double>(d);
    const Scale& scale = scales.emplace_back(ScaleOf(points, d, kBottom, kTop));
    text += svg::Line(x, kTop, x, kBottom, "grid") + svg::Text(x, kTop - 22, "middle", "ink", domains[d]);
    for (const double tick : svg::Ticks(scale.low, scale.high))
      text += svg::Text(x + 4, scale(tick) + 4, "start", "muted small", Tick(tick));
  }
  std::vector<std::pair<double, std::string>> labels;
  for (const Point& point : points) {
    if (!point.is_on_front && !point.is_reference && !point.is_champion) continue;
    std::string path;
    for (std::size_t d = 0; d < domains.size(); ++d)
      path += fmt::format("{}{:.1f},{:.1f}", d == 0 ? "" : " ", kLeft + step * static_cast<double>(d),
                          scales[d](point.scores[d]));
    const char* const css = point.is_champion    ? "curve s0 bold"
                            : point.is_reference ? "curve reference"
                                                 : "curve s1";
    text += fmt::format("<polyline points=\"{}\" class=\"{}\"><title>{}</title></polyline>\n", path, css,
                        EscapeHtml(point.name));
    if (point.is_champion || point.is_reference)
      labels.emplace_back(scales.back()(point.scores.back()) + 4,
                          point.is_champion ? "champion " + point.name : point.name);
  }
  std::sort(labels.begin(), labels.end());
  std::vector<double> places;
  for (const auto& [place, name] : labels) places.push_back(place);
  svg::Spread(places, 15, kBottom);
  for (std::size_t i = 0; i < labels.size(); ++i)
    text += svg::Text(kRight + 34, places[i], "start", "ink", labels[i].second);
  return text + "</svg>\n";
}

}  // namespace

ParetoView ViewOfFront(const Json& evolve, const std::vector<Candidate>& candidates) {
  const Json front = evolve.is_object() ? evolve.value("pareto_front", Json::array()) : Json::array();
  const std::vector<std::string> domains = front.is_array() ? DomainsOf(front) : std::vector<std::string>();
  ParetoView view;
  if (domains.empty()) return view;
  const Json number = evolve.value("champion", Json());
  const std::int64_t champion = number.is_number_integer() ? number.get<std::int64_t>() : -1;
  view.header = {"not dominated on the search items"};
  view.header.insert(view.header.end(), domains.begin(), domains.end());
  view.header.push_back("recipe");
  std::set<std::int64_t> numbers;
  for (const Json& entry : front) {
    const auto scores =
        entry.is_object() ? ScoresOf(entry.value("scores", Json::object()), domains) : std::nullopt;
    if (!scores || !entry.value("number", Json()).is_number_integer()) continue;
    const auto id = entry["number"].get<std::int64_t>();
    numbers.insert(id);
    const std::string name = entry.value("label", fmt::format("#{}", id));
    std::vector<std::string>& row = view.rows.emplace_back();
    row.push_back(id == champion ? name + " (champion)" : name);
    for (const double score : *scores) row.push_back(ShortNumber(score));
    row.push_back(entry.value("recipe", ""));
  }
  const std::vector<Point> points = PointsOf(candidates, domains, numbers, champion);
  if (points.empty() || domains.size() < 2) return view;
  const bool is_pair = domains.size() == 2;
  view.caption = is_pair
                     ? "Mean on the search items of each domain, every model that was scored; the steps "
                       "are the Pareto front"
                     : "Mean on the search items of each domain: the Pareto front, the champion (bold) and "
                       "the models that the search started from (dashed)";
  view.plot = is_pair ? Scatter(points, domains) : ParallelCoordinates(points, domains);
  return view;
}

}  // namespace forge::track
