// SPDX-License-Identifier: Apache-2.0
// Bad input of the commands that start a run: it is refused with a reason, and nothing is left behind.
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>

#include <set>
#include <sstream>

#include "cli_fixture.h"

namespace forge {
namespace {

namespace fs = std::filesystem;
using io::Json;
using testing::Outcome;
using Arguments = std::vector<std::string>;

constexpr int kUsage = 2, kInput = 3, kEnvironment = 4;
/// Without the training engine a run neither teaches nor trains.
constexpr const char* kTrainingSteps = FORGE_CAN_TRAIN ? "2" : "0";
constexpr const char* kPair = R"({"prompt": "a", "completion": "b"})";

Arguments operator+(Arguments left, const Arguments& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

class RunInput : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    a_ = MakeModel("a", 64, 1000, 1);
    b_ = MakeModel("b", 64, 1000, 2);
    other_ = MakeModel("other", 128, 1000, 3);
  }

  std::string Write(const std::string& name, const std::string& text) const {
    io::WriteFileAtomically(Path(name), text);
    return Path(name);
  }
  std::set<std::string> Files() const {
    std::set<std::string> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder_))
      if (!std::set<std::string>{"stdin", "stdout", "stderr"}.contains(entry.path().filename()))
        files.insert(entry.path());
    return files;
  }

  /// The command ends with this code and a message that has these parts, and leaves the folder as it was.
  void ExpectRefused(const Arguments& arguments, int code, const Arguments& parts) const {
    std::ostringstream line;
    for (const std::string& argument : arguments) line << argument << ' ';
    SCOPED_TRACE(line.str());
    const std::set<std::string> before = Files();
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    for (const std::string& part : parts + Arguments{"error: ", "\n  why: ", "\n  fix: "})
      EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " is not in\n" << outcome.err;
    EXPECT_EQ(Files(), before);
  }

  Arguments Evo() const { return {"evo", "--output-dir", Path("output"), "--base-models", a_ + "," + b_}; }
  Arguments Bake() const { return {"bake-quietstar", "--output-dir", Path("output"), "--model", a_}; }
  Arguments Compress() const { return {"compress", "--output-dir", Path("output"), "--input-model", a_}; }
  Arguments Pipeline() const {
    return {"run-pipeline", "--output-dir", Path("output"), "--base-models", a_ + "," + b_};
  }
  Arguments PipelineWithoutMerge() const {
    return {"run-pipeline", "--output-dir", Path("output"), "--no-evomerge"};
  }
  /// Sizes with which a run takes a second.
  static Arguments Small() {
    return {"--generations", "0", "--search-items", "2", "--selection-items", "2", "--test-items", "4"};
  }
  static Arguments SmallPipeline() {
    return Small() + Untrained(kTrainingSteps) +
           Arguments{"--eval-samples", "10", "--calibration-samples", "4"};
  }
  /// Nothing that needs the engine, where there is none.
  static Arguments Untrained(const char* steps = "0") {
    const Arguments untrained{"--compress-steps", steps};
    return FORGE_CAN_TRAIN ? untrained : untrained + Arguments{"--no-quietstar"};
  }

  std::string a_, b_, other_;
};

TEST_F(RunInput, RefusesAllWrongFieldsOfAConfigFileAtOnce) {
  const std::string json = Write(
      "c.json", R"({"generatoins": 3, "tasks": 5, "base_models": ["x", 1], "search_items": 4294967298})");
  const std::string yaml = Write("c.yaml", "generatoins: 3\ntasks: [a]\nsearch_items: 2.5\nbase_models: x\n");
  for (const std::string& config : {json, yaml})
    for (const char* command : {"evo", "run-pipeline"})
      ExpectRefused({command, "--config", config, "--output-dir", Path("output")}, kInput,
                    {config, "\"generatoins\", did you mean \"generations\"?", "\"tasks\" has the wrong type",
                     "\"base_models\" has the wrong type", "\"search_items\" has the wrong type"});
}

TEST_F(RunInput, RefusesValuesOutOfRangeTogetherWithAllElse) {
  const std::string config =
      Write("c.json", R"({"generations": -1, "finalists": 0, "selction_items": 1, "tasks": null})");
  for (const Arguments& command : {Evo(), Pipeline()})
    ExpectRefused(command + Arguments{"--config", config}, kInput,
                  {config, "generations is -1; it must be 0 to", "finalists is 0",
                   "\"selction_items\", did you mean \"selection_items\"?", "\"tasks\" has the wrong type"});
  // As a flag it is the command line that is wrong.
  ExpectRefused(Evo() + Arguments{"--generations", "-1"}, kUsage, {"generations is -1"});
}

TEST_F(RunInput, RefusesConfigFilesThatAreNone) {
  const auto with = [&](const std::string& file) { return Pipeline() + Arguments{"--config", file}; };
  ExpectRefused(with(Path("missing.json")), kInput, {"missing.json"});
  ExpectRefused(with(Write("cut.json", "{\"tasks\": ")), kInput, {"cut.json"});
  ExpectRefused(with(Write("list.json", "[1]")), kInput, {"list.json", "not an object"});
  ExpectRefused(with(Write("bad.yaml", "a: [1\n")), kInput, {"bad.yaml"});
  ExpectRefused(with(Path("")), kInput, {"Is a directory"});
}

TEST_F(RunInput, RefusesAnOutputFolderThatHoldsSomethingElse) {
  fs::create_directories(Path("output"));
  Write("output/notes.txt", "mine");
  std::string questions;
  for (int i = 0; i < 10; ++i) questions += "{\"question\": \"q\", \"answer\": \"#### 1\"}\n";
  const Arguments only_asked{
      "--eval-dataset", "gsm8k:" + Write("q.jsonl", questions), "--eval-samples", "10", "--ab-rounds", "1"};
  for (const Arguments& command : {Evo(), Bake() + only_asked,
                                   Compress() + Arguments{"--training-steps", "0"}, Pipeline() + Untrained()})
    ExpectRefused(command, kInput,
                  {"will not start a run in " + Path("output"), "notes.txt", "--output-dir"});
  fs::remove_all(Path("output"));
  Write("output", "a file");
  ExpectRefused(Evo(), kInput, {"will not start a run in " + Path("output"), "it is a file"});
}

TEST_F(RunInput, StartsARunInAFolderWithHiddenFilesOrOtherRuns) {
  fs::create_directories(Path("output"));
  Write("output/.gitkeep", "");
  for (int run = 0; run < 2; ++run) {
    const Outcome outcome = Run(Evo() + Small());
    EXPECT_LE(outcome.code, 1) << outcome.err;  // 1: no gain
  }
  EXPECT_EQ(Json::parse(Run({"runs", "--output-dir", Path("output"), "--json"}).out)["runs"].size(), 2u);
}

TEST_F(RunInput, RefusesToWriteAResultOverSomething) {
  fs::create_directories(Path("full"));
  const std::string file = Write("full/notes.txt", "mine");
  const std::string data = Write("d.jsonl", kPair);
  ExpectRefused({"starter", "--out", Path("full")}, kInput, {Path("full")});
  ExpectRefused({"starter", "--out", file}, kInput, {file});
  ExpectRefused({"train", "--model", a_, "--data", data, "--out", Path("full")}, kInput, {Path("full")});
  ExpectRefused(Bake() + Arguments{"--out", Path("full")}, kInput, {Path("full")});
  ExpectRefused(Compress() + Arguments{"--output-model", file}, kInput, {file});
  fs::create_directories(Path("models/starter-seed5"));
  Write("models/starter-seed5/notes.txt", "mine");
  ExpectRefused(
      {"run-pipeline", "--output-dir", Path("output"), "--models-dir", Path("models"), "--seed", "5"}, kInput,
      {"starter-seed5"});
}

TEST_F(RunInput, RefusesCudaWhereThereIsNone) {
  if (FORGE_CAN_TRAIN && Run({"doctor", "--json"}).out.find("\"cuda_devices\": []") == std::string::npos)
    GTEST_SKIP() << "this machine has a CUDA device";
  const std::string data = Write("d.jsonl", kPair);
  const Arguments cuda{"--device", "cuda"};
  for (const Arguments& command :
       {Evo(), Bake(), Compress(), Pipeline(), Arguments{"starter", "--out", Path("starter")},
        Arguments{"train", "--model", a_, "--data", data, "--out", Path("new/out")},
        Arguments{"run-pipeline", "--output-dir", Path("output"), "--models-dir", Path("models")}})
    ExpectRefused(command + cuda, kEnvironment, {FORGE_CAN_TRAIN ? "cannot run on cuda" : "engine"});
}

TEST_F(RunInput, LeavesNoRunWithoutTheTrainingEngine) {
  if (FORGE_CAN_TRAIN) GTEST_SKIP() << "this build has the engine";
  for (const char* device : {"auto", "cpu"})
    for (const Arguments& command :
         {Bake(), Compress(), Compress() + Arguments{"--training-steps", "0", "--block-steps", "5"},
          Pipeline(), Pipeline() + Arguments{"--no-compression"}, Pipeline() + Arguments{"--no-quietstar"},
          Arguments{"starter", "--out", Path("starter")},
          Arguments{"train", "--model", a_, "--data", Write("d.jsonl", kPair), "--out", Path("new/out")}})
      ExpectRefused(command + Arguments{"--device", device}, kEnvironment, {"engine"});
}

TEST_F(RunInput, LeavesNoRunForModelsThatCannotBeUsed) {
  const std::string none = Path("none");
  for (const Arguments& command : {Arguments{"evo"}, Arguments{"run-pipeline"}}) {
    const auto with = [&](const std::string& models) {
      return command + Arguments{"--output-dir", Path("output"), "--base-models", models};
    };
    ExpectRefused(with(a_ + "," + none), kInput, {none});
    ExpectRefused(with(a_), kUsage, {"2 to 8"});
    ExpectRefused(with(a_ + "," + other_), kInput, {"hidden_size"});
    ExpectRefused(with(a_ + "," + b_) + Arguments{"--base", none}, kInput, {none});
  }
  ExpectRefused({"bake-quietstar", "--output-dir", Path("output"), "--model", none}, kInput, {none});
  ExpectRefused({"compress", "--output-dir", Path("output"), "--input-model", none}, kInput, {none});
  ExpectRefused(PipelineWithoutMerge(), kUsage, {"--input-model"});
  ExpectRefused(PipelineWithoutMerge() + Arguments{"--input-model", none}, kInput, {none});
}

TEST_F(RunInput, LeavesNoRunForDataThatCannotBeUsed) {
  const std::string none = Path("none.jsonl"),
                    few = Write("few.jsonl", R"({"domain": "d", "prompt": "p", "completion": "c"})");
  const std::string questions = Write("q.jsonl", R"({"question": "q", "answer": "#### 1"})");
  for (const Arguments& command : {Evo(), Pipeline()}) {
    ExpectRefused(command + Arguments{"--tasks", none}, kInput, {none});
    ExpectRefused(command + Arguments{"--tasks", few}, kInput, {few, "30 items"});
  }
  for (const Arguments& command :
       {Bake(), Pipeline(), PipelineWithoutMerge() + Arguments{"--input-model", a_}}) {
    ExpectRefused(command + Arguments{"--eval-dataset", "gsm9k"}, kUsage, {"gsm9k"});
    ExpectRefused(command + Arguments{"--eval-dataset", "gsm8k:" + none}, kInput, {none});
    ExpectRefused(command + Arguments{"--eval-dataset", "gsm8k:" + questions}, kInput, {"only 1 questions"});
  }
  for (const Arguments& command :
       {Compress(), Pipeline(), PipelineWithoutMerge() + Arguments{"--input-model", a_}}) {
    ExpectRefused(command + Arguments{"--calibration-dataset", none}, kInput, {none});
    ExpectRefused(command + Arguments{"--group-size", "256"}, kInput, {"256"});
    ExpectRefused(command + Arguments{"--group-size", "100"}, kUsage, {"100"});
  }
  const Arguments untrained{"run-pipeline", "--output-dir", Path("output"), "--models-dir", Path("models")};
  ExpectRefused(untrained + Arguments{"--tasks", none}, kInput, {none});
  ExpectRefused(untrained + Arguments{"--eval-dataset", "gsm8k:" + none}, kInput, {none});
  ExpectRefused(untrained + Arguments{"--calibration-dataset", none}, kInput, {none});
}

TEST_F(RunInput, NamesTheLineOfDataThatCannotBeUsed) {
  const std::string item = R"({"domain": "d", "prompt": "p", "completion": "c"})";
  const std::vector<std::pair<std::string, std::string>> bad{
      {R"({"domain": "d", "prompt": "p", "comple)", "syntax error"},
      {"[1]", "no object, but [1]"},
      {R"({"domain": "d", "prompt": "p"})", "the field \"completion\" is missing"},
      {R"({"domain": "d", "prompt": 7, "completion": "c"})", "the field \"prompt\" is no text, but 7"},
      {R"({"domain": "d", "prompt": "p", "completion": ""})", "the field \"completion\" is empty"}};
  for (const auto& [line, why] : bad) {
    const std::string tasks = Write("t.jsonl", "\xEF\xBB\xBF" + item + "\r\n\r\n" + line);
    ExpectRefused(Evo() + Arguments{"--tasks", tasks}, kInput,
                  {"line 3 of " + tasks, why, "each line must be"});
  }
  const std::string tasks = Write("t.jsonl", item + "\n{");
  for (const Arguments& command :
       {Pipeline() + Arguments{"--tasks", tasks}, Compress() + Arguments{"--calibration-dataset", tasks}})
    ExpectRefused(command, kInput, {"line 2 of " + tasks});
  const std::string questions =
      Write("q.jsonl", "{\"question\": \"q\", \"answer\": \"1\"}\n{\"question\": 1}");
  ExpectRefused(Bake() + Arguments{"--eval-dataset", "gsm8k:" + questions}, kInput,
                {"line 2 of " + questions});
  for (const char* folder : {"data/eval/gsm8k", "data/eval/code", "data/text"})
    fs::create_directories(Path(folder));
  const std::string math = Write("data/eval/gsm8k/train.jsonl", "{\"question\": \"q\"}\n");
  Write("data/eval/code/mbpp.jsonl", "");
  Write("data/text/tinystories_train_2MiB.txt", "");
  ExpectRefused(Evo() + Arguments{"--tasks", "data:" + Path("data")}, kInput,
                {"line 1 of " + math, "\"answer\" is missing"});
}

TEST_F(RunInput, LeavesTheDatabaseOfAnotherProgramAsItIs) {
  fs::create_directories(Path("output"));
  const std::string file = Path("output/forge.db");
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "CREATE TABLE songs(title TEXT)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  const std::string before = io::ReadFile(file);
  for (const Arguments& command : {Evo(), Pipeline() + Untrained()})
    ExpectRefused(command, kInput, {file, "the database of another program (with a table songs)"});
  EXPECT_TRUE(io::ReadFile(file) == before) << "its bytes have changed";
}

TEST_F(RunInput, RefusesToResumeWhatIsNotThere) {
  for (const char* command : {"evo", "bake-quietstar", "compress", "run-pipeline"}) {
    ExpectRefused({command, "--output-dir", Path("output"), "--resume", "run-1"}, kInput, {"run-1"});
    ExpectRefused({command, "--resume", Path("unified_checkpoints/run-1.json")}, kInput, {"run-1.json"});
  }
  // A handle that its run has left alone, or that holds something else.
  fs::create_directories(Path("output/unified_checkpoints"));
  const Json handle{{"config", {{"base_models", {a_, b_}}}}};
  const std::string file = Write("output/unified_checkpoints/run-1.json", handle.dump());
  for (const char* command : {"evo", "run-pipeline"})
    ExpectRefused({command, "--resume", file}, kInput, {"there is no run run-1 in " + Path("output")});
  for (const char* text : {"{}", "[]", "{\"config\": 1}", "{\"conf"}) {
    Write("output/unified_checkpoints/run-1.json", text);
    ExpectRefused({"evo", "--resume", file}, kInput, {"run-1.json"});
  }
}

// What only finished stages needed may be gone when a run goes on.
TEST_F(RunInput, ResumesWithoutTheModelsOfAFinishedStage) {
  const auto stage_state = [&](const char* stage) -> std::string {
    const Outcome status =
        testing::RunProgram({"status", "--output-dir", Path("output"), "--json"}, folder_ / "status");
    const Json json = Json::parse(status.out, nullptr, false);
    if (!json.is_object() || json["runs"].empty()) return "";
    for (const Json& entry : json["runs"][0]["stages"])
      if (entry["name"] == stage) return entry["state"];
    return "";
  };
  fs::create_directories(folder_ / "status");
  testing::Program broken(Pipeline() + SmallPipeline(), folder_);
  while (stage_state("compress") != "running") {
    ASSERT_EQ(waitpid(broken.pid(), nullptr, WNOHANG), 0) << "it ended too soon";
    poll(nullptr, 0, 1);
  }
  kill(broken.pid(), SIGKILL);
  EXPECT_EQ(broken.Wait().code, -SIGKILL);
  fs::remove_all(a_);
  fs::remove_all(b_);
  std::string handle;
  for (const fs::directory_entry& entry : fs::directory_iterator(Path("output/unified_checkpoints")))
    handle = entry.path();
  const Outcome resumed = Run({"run-pipeline", "--resume", handle});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
}

}  // namespace
}  // namespace forge
