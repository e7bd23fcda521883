// SPDX-License-Identifier: Apache-2.0
// The report for people: the same sections once as Markdown and once as a page.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "track/pareto_view.h"
#include "track/report_style.h"
#include "track/report_svg.h"
#include "track/run_report.h"
#include "track/search_history.h"

namespace forge::track {
namespace {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

struct Section {
  std::string title, state, headline;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<Table> tables;
  std::vector<std::pair<std::string, std::string>> plots;  // caption, SVG; the page only
};

std::optional<double> Number(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number() || !std::isfinite(found->get<double>()))
    return std::nullopt;
  return found->get<double>();
}

std::string TextOf(const Json& object, const std::string& key, const std::string& missing = "-") {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : missing;
}

Json ArrayOf(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : Json::array();
}

Json ObjectOf(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : Json::object();
}

std::optional<double> At(const Json& array, std::size_t index) {
  if (index >= array.size() || !array[index].is_number()) return std::nullopt;
  return array[index].get<double>();
}

std::string Percent(std::optional<double> value, bool sign = false) {
  if (!value) return "-";
  return sign ? fmt::format("{:+.1f} %", *value * 100) : fmt::format("{:.1f} %", *value * 100);
}

std::string Points(std::optional<double> value) {
  return value ? fmt::format("{:+.1f} points", *value) : "-";
}

std::string PercentInterval(const Json& section, const std::string& key, bool sign = false) {
  const Json ci = ArrayOf(section, key);
  if (!At(ci, 0) || !At(ci, 1)) return {};
  return fmt::format(" (95 % interval {} to {})", Percent(At(ci, 0), sign), Percent(At(ci, 1), sign));
}

std::string Count(const Json& section, const std::string& key) {
  const std::optional<double> value = Number(section, key);
  return value ? fmt::format("{:.0f}", *value) : "-";
}

std::string Bytes(std::optional<double> value) { return value ? ShortBytes(*value) : "-"; }

void AddParetoFront(const ReportInput& input, const Json& evolve, Section& section) {
  const ParetoView view = ViewOfFront(evolve, input.candidates);
  if (view.rows.empty()) return;
  section.tables.push_back({.header = view.header, .rows = view.rows});
  section.plots.emplace_back(view.caption, view.plot);
}

Section EvolveSection(const ReportInput& input, const Json& evolve) {
  Section section{.title = "Evolution", .state = TextOf(evolve, "state")};
  if (const auto gain = Number(evolve, "gain_relative"))
    section.headline = fmt::format("The champion scores {} relative to the best parent{}.",
                                   Percent(gain, true), PercentInterval(evolve, "gain_ci", true));
  section.facts = {{"champion", ShortNumber(Number(evolve, "champion_score"))},
                   {"best parent", ShortNumber(Number(evolve, "best_parent_score"))},
                   {"uniform average", ShortNumber(Number(evolve, "uniform_score"))},
                   {"p", ShortNumber(Number(evolve, "p_value"))},
                   {"test items", Count(evolve, "n")}};
  Table domains{.header = {"domain", "champion", "best parent", "uniform average", "n"}, .rows = {}};
  const Json per_domain = ObjectOf(evolve, "per_domain");
  for (const auto& [domain, row] : per_domain.items())
    domains.rows.push_back({domain, ShortNumber(Number(row, "champion")),
                            ShortNumber(Number(row, "best_parent")), ShortNumber(Number(row, "uniform")),
                            Count(row, "n")});
  section.tables.push_back(domains);
  Table baselines{.header = {"merge without a search", "score", "champion minus it", "95 % interval"},
                  .rows = {}};
  for (const Json& baseline : ArrayOf(evolve, "baselines")) {
    const Json ci = ArrayOf(baseline, "champion_gain_ci");
    baselines.rows.push_back(
        {TextOf(baseline, "name"), ShortNumber(Number(baseline, "score")),
         ShortNumber(Number(baseline, "champion_gain")),
         At(ci, 0) && At(ci, 1) ? ShortNumber(At(ci, 0)) + " to " + ShortNumber(At(ci, 1)) : "-"});
  }
  if (!baselines.rows.empty()) section.tables.push_back(baselines);
  AddParetoFront(input, evolve, section);
  const SearchHistory history = HistoryOf(input.candidates);
  section.plots.emplace_back("Fitness on the search split, by generation",
                             FitnessPlot(history.points, history.lines));
  const std::optional<double> given = Number(evolve, "champion");
  const std::optional<std::int64_t> champion =
      given ? std::optional(static_cast<std::int64_t>(*given)) : history.best;
  if (champion) {
    section.plots.emplace_back("Where the champion comes from",
                               LineagePlot(LineageNodes(input.candidates), *champion));
  }
  return section;
}

Section ReasonSection(const Json& reason) {
  Section section{.title = "Reasoning", .state = TextOf(reason, "state")};
  const std::string verdict = TextOf(reason, "verdict");
  if (verdict == "baked") section.headline = "Thinking helps, and the gain was baked into plain weights.";
  if (verdict == "no_gain") section.headline = "No gain: the input model was passed on unchanged.";
  section.facts = {
      {"verdict", verdict},
      {"with thoughts", Points(Number(reason, "thought_gain_points"))},
      {"with placebo thoughts", Points(Number(reason, "placebo_gain_points"))},
      {"p", ShortNumber(Number(reason, "p_value"))},
      {"kept after baking", Percent(Number(reason, "retention")) + PercentInterval(reason, "retention_ci")},
      {"items", Count(reason, "n")}};
  Table arms{.header = {"arm", "exact match", "95 % interval", "n"}, .rows = {}};
  std::vector<IntervalBar> bars;
  for (const Json& arm : ArrayOf(reason, "arms")) {
    const Json ci = ArrayOf(arm, "ci");
    const std::string name = TextOf(arm, "name", ""), label = TextOf(arm, "label", "");
    const std::string shown = label.empty() ? name : name + " " + label;
    arms.rows.push_back({shown, Percent(Number(arm, "accuracy")),
                         At(ci, 0) && At(ci, 1) ? Percent(At(ci, 0)) + " to " + Percent(At(ci, 1)) : "-",
                         Count(arm, "n")});
    if (const auto accuracy = Number(arm, "accuracy"))
      bars.push_back({shown, "n = " + Count(arm, "n"), *accuracy, At(ci, 0), At(ci, 1),
                      name == "A1"   ? 0
                      : name == "B1" ? 3
                                     : 1});
  }
  section.tables.push_back(arms);
  section.plots.emplace_back("Exact match by arm, same items, with 95 % intervals",
                             IntervalBars("A/B", bars, true));
  return section;
}

Section CompressSection(const Json& compress) {
  Section section{.title = "Compression", .state = TextOf(compress, "state")};
  if (const auto ratio = Number(compress, "ratio"))
    section.headline = fmt::format("{:.2f} times smaller on disk.", *ratio);
  section.facts = {
      {"before", Bytes(Number(compress, "input_bytes"))},
      {"after", Bytes(Number(compress, "output_bytes"))},
      {"bits per weight", ShortNumber(Number(compress, "bits_per_weight"))},
      {"kept", Percent(Number(compress, "retention")) + PercentInterval(compress, "retention_ci")}};
  const auto score = [](std::optional<double> value) {  // a share of right answers, or minus nats
    return value.value_or(0) < 0 ? ShortNumber(value) : Percent(value);
  };
  Table domains{.header = {"domain", "before", "after", "kept", "kept above chance", "n"}, .rows = {}};
  const Json per_domain = ObjectOf(compress, "per_domain");
  for (const auto& [domain, row] : per_domain.items())
    domains.rows.push_back({domain, score(Number(row, "before")), score(Number(row, "after")),
                            Percent(Number(row, "retention")), Percent(Number(row, "retention_above_chance")),
                            Count(row, "n")});
  Table files{.header = {"file", "size", "kept"}, .rows = {}};
  std::vector<SizeBar> bars;
  for (const Json& file : ArrayOf(compress, "files")) {
    files.rows.push_back(
        {TextOf(file, "name"), Bytes(Number(file, "bytes")), Percent(Number(file, "retention"))});
    SizeBar bar{.label = TextOf(file, "name"), .bytes = Number(file, "bytes").value_or(0), .classes = {}};
    const Json classes = ObjectOf(file, "classes");
    for (const auto& [name, bytes] : classes.items())
      if (bytes.is_number()) bar.classes.emplace_back(name, bytes.get<double>());
    if (Number(file, "bytes")) bars.push_back(bar);
  }
  section.tables = {domains, files};
  section.plots.emplace_back("Bytes on disk by class of weight", SizeBars(bars));
  return section;
}

std::vector<Section> Sections(const ReportInput& input, const Json& report) {
  std::vector<Section> sections{EvolveSection(input, report["evolve"]), ReasonSection(report["reason"]),
                                CompressSection(report["compress"])};
  for (Section& section : sections) {
    if (section.state == "done") continue;
    // Nothing is shown for a stage that did not finish: half a result would read like a result.
    section = {.title = section.title,
               .state = section.state,
               .headline = {},
               .facts = {},
               .tables = {},
               .plots = {}};
    section.headline = section.state == "not_run"   ? "Not run."
                       : section.state == "skipped" ? "Skipped on request."
                                                    : "Not finished: " + section.state + ".";
  }
  return sections;
}

Section RunSection(const ReportInput& input, const Json& report) {
  Section section{.title = "Run", .state = std::string(Name(input.run.state)), .headline = input.run.message};
  section.facts = {{"command", input.run.command},
                   {"seed", fmt::format("{}", input.run.seed)},
                   {"final model", TextOf(report, "final_model")}};
  for (const auto& [name, version] : report["versions"].items())
    section.facts.emplace_back(name, version.is_string() ? version.get<std::string>() : version.dump());
  Table seconds{.header = {"stage", "time"}, .rows = {}};
  for (const Stage& stage : input.stages)
    if (stage.state != State::kSkipped) seconds.rows.push_back({stage.name, ShortDuration(stage.seconds)});
  seconds.rows.push_back({"total", ShortDuration(report["seconds"]["total"].get<double>())});
  Table files{.header = {"artifact", "path", "size", "sha256"}, .rows = {}};
  for (const Artifact& artifact : input.artifacts)
    files.rows.push_back({artifact.name, artifact.path, ShortBytes(static_cast<double>(artifact.bytes)),
                          artifact.sha256.substr(0, 16)});
  section.tables = {seconds, files};
  return section;
}

std::string EscapeMarkdown(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '\\' || c == '`' || c == '*' || c == '_' || c == '<') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

std::string MarkdownRow(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) row += fmt::format(" {} |", EscapeMarkdown(cell));
  return row + "\n";
}

std::string MarkdownTable(const Table& table) {
  if (table.rows.empty()) return {};
  std::string text = MarkdownRow(table.header) + "|";
  for (std::size_t i = 0; i < table.header.size(); ++i) text += "---|";
  text += "\n";
  for (const auto& row : table.rows) text += MarkdownRow(row);
  return text + "\n";
}

std::string MarkdownSection(const Section& section) {
  std::string text =
      fmt::format("## {} ({})\n\n", section.title, section.state == "not_run" ? "not run" : section.state);
  if (!section.headline.empty()) text += EscapeMarkdown(section.headline) + "\n\n";
  for (const auto& [name, value] : section.facts)
    text += fmt::format("- {}: {}\n", EscapeMarkdown(name), EscapeMarkdown(value));
  if (!section.facts.empty()) text += "\n";
  for (const Table& table : section.tables) text += MarkdownTable(table);
  return text;
}

std::string HtmlTable(const Table& table) {
  if (table.rows.empty()) return {};
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& cell : table.header) html += "<th>" + EscapeHtml(cell) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const std::string& cell : row) html += "<td>" + EscapeHtml(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string HtmlSection(const Section& section) {
  std::string html = fmt::format("<section><h2>{} <span class=\"chip {}\">{}</span></h2>\n", section.title,
                                 section.state, section.state == "not_run" ? "not run" : section.state);
  if (!section.headline.empty()) html += "<p class=\"headline\">" + EscapeHtml(section.headline) + "</p>\n";
  if (!section.facts.empty()) {
    html += "<dl>";
    for (const auto& [name, value] : section.facts)
      html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", EscapeHtml(name), EscapeHtml(value));
    html += "</dl>\n";
  }
  for (const auto& [caption, svg] : section.plots)
    if (!svg.empty())
      html += "<figure>" + svg + "<figcaption>" + EscapeHtml(caption) + "</figcaption></figure>\n";
  for (const Table& table : section.tables) html += HtmlTable(table);
  return html + "</section>\n";
}

std::string Sample(const ReportInput& input) {
  return input.run.result.is_object() ? TextOf(input.run.result, "sample", "") : std::string();
}

}  // namespace

std::string BuildReportMarkdown(const ReportInput& input) {
  const Json report = BuildReportJson(input);
  std::string text = fmt::format("# forge: {}\n\n", EscapeMarkdown(input.run.id));
  for (const Section& section : Sections(input, report)) text += MarkdownSection(section);
  if (const std::string sample = Sample(input); !sample.empty()) {
    text += "## Sample of the final model\n\n";
    text += "    ";  // indented code: the text may hold anything, fences too
    for (const char c : sample) text += c == '\n' ? std::string("\n    ") : std::string(1, c);
    text += "\n\n";
  }
  return text + MarkdownSection(RunSection(input, report));
}

std::string BuildReportHtml(const ReportInput& input) {
  const Json report = BuildReportJson(input);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>forge: {}</title>"
      "<style>{}</style></head>\n<body><main><h1>{}</h1><p class=\"sub\">Report of one forge run.</p>\n",
      EscapeHtml(input.run.id), ReportStyle(), EscapeHtml(input.run.id));
  for (const Section& section : Sections(input, report)) html += HtmlSection(section);
  if (const std::string sample = Sample(input); !sample.empty())
    html += "<section><h2>Sample of the final model</h2><pre>" + EscapeHtml(sample) + "</pre></section>\n";
  return html + HtmlSection(RunSection(input, report)) + "</main></body></html>\n";
}

}  // namespace forge::track
