// SPDX-License-Identifier: Apache-2.0
// The presets for real models, from end to end, on tiny models of random weights and texts made here.
#include "cli_fixture.h"
#include "io/atomic_file.h"

namespace forge {
namespace {

namespace fs = std::filesystem;
using io::Json;
using testing::Outcome;

class Preset : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    std::string math, code, stories;
    for (int i = 0; i < 200; ++i) {
      const std::string number = std::to_string(i);
      math +=
          Json{{"question", "What is " + number + " + 1?"}, {"answer", "It is one more than that.\n#### 7"}}
              .dump() +
          "\n";
      code += Json{{"text", "Return " + number}, {"code", "def f():\n  return " + number}}.dump() + "\n";
      stories += "Cat " + number +
                 " sat. It sat on the mat and looked at the rain until it was dark outside, "
                 "and then it slept.\n<|endoftext|>\n";
    }
    for (const char* part : {"data/eval/gsm8k", "data/eval/code", "data/text"})
      fs::create_directories(folder_ / part);
    io::WriteFileAtomically(Path("data/eval/gsm8k/train.jsonl"), math);
    io::WriteFileAtomically(Path("data/eval/code/mbpp.jsonl"), code);
    io::WriteFileAtomically(Path("data/text/tinystories_train_2MiB.txt"), stories);
  }

  Json Report() const {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "output"))
      if (fs::exists(entry.path() / "report.json")) return io::ReadJsonFile(entry.path() / "report.json");
    return {};
  }
};

TEST_F(Preset, SmallRunsEveryStageOnTheDataOfTheTasks) {
  const std::string base = MakeModel("base", 64, 1000, 1), a = MakeModel("a", 64, 1000, 2),
                    b = MakeModel("b", 64, 1000, 3);
  const Outcome outcome = Run({"run-pipeline",
                               "--preset",
                               "small",
                               "--output-dir",
                               Path("output"),
                               "--base",
                               base,
                               "--base-models",
                               a + "," + b,
                               "--tasks",
                               "data:" + Path("data"),
                               "--generations",
                               "1",
                               "--search-items",
                               "2",
                               "--selection-items",
                               "2",
                               "--test-items",
                               "4",
                               "--eval-samples",
                               "10",
                               "--calibration-samples",
                               "6",
                               "--compress-steps",
                               FORGE_CAN_TRAIN ? "3" : "0"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json report = Report();
  EXPECT_EQ(report["evolve"]["n"], 12);
  ASSERT_EQ(report["evolve"]["baselines"].size(), 3u);
  EXPECT_EQ(report["evolve"]["baselines"][0]["score"], report["evolve"]["uniform_score"]);
  for (const Json& baseline : report["evolve"]["baselines"]) {
    const double lead = report["evolve"]["champion_score"].get<double>() - baseline["score"].get<double>();
    EXPECT_NEAR(baseline["champion_gain"].get<double>(), lead, 1e-9) << baseline["name"];
    EXPECT_EQ(baseline["per_domain"].size(), 3u);
  }
  EXPECT_EQ(report["reason"]["verdict"], "no_gain");
  EXPECT_EQ(report["reason"]["n"], 10);
  EXPECT_EQ(report["compress"]["metric"], "minus nats per token");
  for (const char* domain : {"math", "code", "stories"})
    EXPECT_EQ(report["compress"]["per_domain"][domain]["n"], 4) << domain;
  EXPECT_EQ(outcome.err.find("memory: ") != std::string::npos, true) << outcome.err;
}

TEST_F(Preset, OfRealModelsRefuseTheStarterTasksAndQuestions) {
  const std::vector<std::string> command{"run-pipeline", "--output-dir", Path("output"), "--preset"};
  for (const char* preset : {"small", "smoke"}) {
    std::vector<std::string> arguments = command;
    arguments.emplace_back(preset);
    EXPECT_EQ(Run(arguments).code, 2) << preset;
    arguments.insert(arguments.end(), {"--tasks", "items.jsonl"});
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, 2) << preset;
    EXPECT_NE(outcome.err.find("needs questions of ordinary text"), std::string::npos) << outcome.err;
  }
  EXPECT_FALSE(fs::exists(folder_ / "output"));
}

}  // namespace
}  // namespace forge
