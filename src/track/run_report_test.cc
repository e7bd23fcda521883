// SPDX-License-Identifier: Apache-2.0
#include "track/run_report.h"

#include <gmock/gmock.h>

#include <regex>

#include "io/atomic_file.h"
#include "track/report_svg.h"
#include "track/search_history.h"
#include "track/test_folder.h"

namespace forge::track {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// A run as the pipeline leaves it, with all three stages.
ReportInput FullInput() {
  ReportInput input;
  input.run = {
      .id = "run-1",
      .command = "forge run-pipeline <x>",
      .seed = 7,
      .state = State::kDone,
      .result = {
          {"final_model", "run-1/compress"}, {"versions", {{"forge", "0.1.0"}}}, {"sample", "12 <b> 5"}}};
  input.candidates = {
      {.id = 0, .kind = "parent", .label = "math", .scores = {{"fitness", 0.4}}},
      {.id = 1, .kind = "uniform", .label = "uniform", .scores = {{"fitness", 0.45}}},
      {.id = 2, .kind = "seed", .parents = {0}, .scores = {{"fitness", 0.5}}},
      {.id = 3, .kind = "seed", .parents = {0}, .scores = {{"fitness", 0.3}}},
      {.id = 4, .generation = 1, .kind = "child", .parents = {2, 3}, .scores = {{"fitness", 0.6}}},
      {.id = 5,
       .generation = 1,
       .kind = "child",
       .parents = {2},
       .scores = Json::object(),
       .state = State::kFailed},
      {.id = 6, .kind = "base", .label = "base", .scores = {{"fitness", 0.2}}}};
  input.stages = {
      {.name = "evolve",
       .state = State::kDone,
       .seconds = 100,
       .result = {{"champion_score", 0.61},
                  {"best_parent_score", 0.4},
                  {"uniform_score", 0.45},
                  {"gain_relative", 0.525},
                  {"gain_ci", {0.3, 0.7}},
                  {"p_value", 0.0001},
                  {"n", 1500},
                  {"champion", 4},
                  {"per_domain",
                   {{"math", {{"champion", 0.9}, {"best_parent", 0.88}, {"uniform", 0.5}, {"n", 500}}}}}}},
      {.name = "reason",
       .state = State::kDone,
       .seconds = 200,
       .result =
           {{"verdict", "baked"},
            {"thought_gain_points", 21.5},
            {"placebo_gain_points", 0.2},
            {"n", 500},
            {"arms",
             {{{"name", "A0"}, {"label", "no thought"}, {"accuracy", 0.2}, {"ci", {0.17, 0.24}}, {"n", 500}},
              {{"name", "A1"},
               {"label", "thought"},
               {"accuracy", 0.42},
               {"ci", {0.38, 0.46}},
               {"n", 500}}}}}},
      {.name = "compress",
       .state = State::kDone,
       .seconds = 50.5,
       .result = {{"input_bytes", 2'000'000},
                  {"output_bytes", 400'000},
                  {"ratio", 5.0},
                  {"bits_per_weight", 2.6},
                  {"files",
                   {{{"name", "fp16"}, {"bytes", 2'000'000}},
                    {{"name", "ternary"},
                     {"bytes", 400'000},
                     {"classes", {{"linear", 300'000}, {"embedding", 100'000}}}}}}}}};
  input.artifacts = {{.name = "final", .path = "compress/model.gguf", .bytes = 400'000, .sha256 = "abc"}};
  return input;
}

TEST(RunReport, HasEveryDocumentedKey) {
  const Json report = BuildReportJson(FullInput());
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["evolve"]["gain_relative"], 0.525);
  EXPECT_EQ(report["evolve"]["state"], "done");
  EXPECT_EQ(report["reason"]["verdict"], "baked");
  EXPECT_TRUE(report["reason"].contains("p_value"));
  EXPECT_TRUE(report["reason"]["p_value"].is_null());  // was not given: null, not 0
  EXPECT_EQ(report["compress"]["ratio"], 5.0);
  EXPECT_EQ(report["seconds"],
            Json({{"evolve", 100.0}, {"reason", 200.0}, {"compress", 50.5}, {"total", 350.5}}));
  EXPECT_EQ(report["final_model"], "run-1/compress");
  EXPECT_EQ(report["seed"], 7);
  EXPECT_EQ(report["versions"]["forge"], "0.1.0");
}

TEST(RunReport, ShowsAMissingStageAsNotRunAndNeverAsZero) {
  ReportInput input = FullInput();
  input.stages.erase(input.stages.begin() + 1, input.stages.end());
  const Json report = BuildReportJson(input);
  EXPECT_EQ(report["reason"]["state"], "not_run");
  for (const char* key : {"verdict", "thought_gain_points", "retention", "n"})
    EXPECT_TRUE(report["reason"][key].is_null());
  EXPECT_FALSE(report["seconds"].contains("reason"));
  EXPECT_THAT(BuildReportMarkdown(input), HasSubstr("## Reasoning (not run)\n\nNot run.\n"));
  EXPECT_THAT(BuildReportHtml(input), Not(HasSubstr("with thoughts")));
}

TEST(RunReport, SaysThatAStageDidNotFinish) {
  ReportInput input = FullInput();
  input.stages[1].state = State::kInterrupted;
  EXPECT_THAT(BuildReportMarkdown(input), HasSubstr("Not finished: interrupted."));
}

TEST(RunReport, LoadsNothingFromOutsideAndEscapesText) {
  const std::string html = BuildReportHtml(FullInput());
  EXPECT_FALSE(std::regex_search(html, std::regex("https?://|<script|<link|@import|src=|url\\(")));
  EXPECT_THAT(html, HasSubstr("forge run-pipeline &lt;x&gt;"));
  EXPECT_THAT(html, HasSubstr("12 &lt;b&gt; 5"));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(html, HasSubstr("Lineage of the champion"));
}

TEST(RunReport, StatesTheHeadlineWithItsInterval) {
  const std::string markdown = BuildReportMarkdown(FullInput());
  EXPECT_THAT(
      markdown,
      HasSubstr(
          "The champion scores +52.5 % relative to the best parent (95 % interval +30.0 % to +70.0 %)."));
  EXPECT_THAT(markdown, HasSubstr("- with thoughts: +21.5 points"));
  EXPECT_THAT(markdown, HasSubstr("5.00 times smaller on disk."));
}

TEST(RunReport, WritesThreeFilesFromTheStore) {
  const TestFolder folder;
  Store store = Store::Open(folder.path(), Store::Mode::kWrite);
  store.CreateRun({.id = "r1", .seed = 3});
  store.BeginStage("r1", "evolve");
  store.EndStage("r1", "evolve", State::kDone, {{"champion_score", 0.5}});
  WriteReport(folder.path(), GatherReport(store, "r1"));
  EXPECT_EQ(io::ReadJsonFile(folder.path() / "report.json")["evolve"]["champion_score"], 0.5);
  EXPECT_THAT(io::ReadFile(folder.path() / "report.md"), HasSubstr("# forge: r1"));
  EXPECT_THAT(io::ReadFile(folder.path() / "report.html"), HasSubstr("</html>"));
}

TEST(HistoryOf, LeavesReferencesAndFailuresOutOfTheCurve) {
  const SearchHistory history = HistoryOf(FullInput().candidates);
  ASSERT_EQ(history.points.size(), 2u);
  EXPECT_DOUBLE_EQ(history.points[0].best, 0.5);
  EXPECT_DOUBLE_EQ(history.points[0].mean, 0.4);  // (0.5 + 0.3) / 2
  EXPECT_DOUBLE_EQ(history.points[1].mean, 0.6);  // the failed one has no fitness
  ASSERT_EQ(history.lines.size(), 3u);
  EXPECT_EQ(history.lines[0].label, "math");
  EXPECT_EQ(history.lines[2].label, "base");
  EXPECT_EQ(history.best, 4);
}

TEST(ReportSvg, DrawsNothingFromNothing) {
  EXPECT_EQ(FitnessPlot({}, {}), "");
  EXPECT_EQ(LineagePlot({}, 3), "");
  EXPECT_EQ(IntervalBars("x", {}, true), "");
  EXPECT_EQ(SizeBars({}), "");
}

TEST(ReportSvg, DrawsOneGenerationAndEqualValuesWithoutDividingByZero) {
  const std::string svg = FitnessPlot({{0, 0.5, 0.5}}, {{"math", 0.5}});
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf\"")));
  EXPECT_THAT(IntervalBars("x", {{.label = "zero", .value = 0}}, true), Not(HasSubstr("nan")));
}

TEST(ReportSvg, TracesOnlyTheChampionsAncestors) {
  const std::string svg = LineagePlot({{.id = 1}, {.id = 2}, {.id = 3, .generation = 1, .parents = {1}}}, 3);
  EXPECT_THAT(svg, HasSubstr("#1 "));
  EXPECT_THAT(svg, Not(HasSubstr("#2 ")));
}

TEST(ShortNumbers, AreAsPeopleWriteThem) {
  EXPECT_EQ(ShortNumber(std::nullopt), "-");
  EXPECT_EQ(ShortNumber(0.0), "0.000");
  EXPECT_EQ(ShortNumber(0.00001), "1.0e-05");
  EXPECT_EQ(ShortBytes(1'400'000), "1.40 MB");
  EXPECT_EQ(ShortBytes(999), "999 B");
  EXPECT_EQ(ShortBytes(1010), "1.01 kB");
  EXPECT_EQ(ShortDuration(48), "48 s");
  EXPECT_EQ(ShortDuration(3 * 3600 + 300), "3 h 5 min");
}

}  // namespace
}  // namespace forge::track
