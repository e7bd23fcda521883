// SPDX-License-Identifier: Apache-2.0
// forge train as a user runs it: what it learns, what it leaves, and that it goes on after a stop.
#include <poll.h>
#include <signal.h>

#include <map>

#include "cli_fixture.h"

namespace forge {
namespace {

namespace fs = std::filesystem;
using io::Json;
using testing::Outcome;
using Arguments = std::vector<std::string>;

constexpr int kUsage = 2, kInput = 3, kInterrupted = 130;
constexpr int kCheckpointInterval = 50;  // steps; src/cli/train_command.cc

class Train : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    model_ = MakeModel("model");
    io::WriteFileAtomically(Path("data.jsonl"),
                            "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n"
                            "{\"prompt\": \"x\", \"completion\": \"yz\"}\n");
  }

  Arguments Command(const std::string& out, int steps, const Arguments& more = {}) const {
    Arguments arguments{"train",
                        "--model",
                        model_,
                        "--data",
                        Path("data.jsonl"),
                        "--out",
                        Path(out),
                        "--steps",
                        std::to_string(steps),
                        "--batch-rows",
                        "4",
                        "--device",
                        "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  /// Every file of the folder, by name.
  std::map<std::string, std::string> Bytes(const std::string& out) const {
    std::map<std::string, std::string> bytes;
    for (const fs::directory_entry& entry : fs::directory_iterator(Path(out)))
      bytes[entry.path().filename()] = io::ReadFile(entry.path());
    return bytes;
  }
  /// Log-probability of the completion.
  double Score(const std::string& model, const std::string& prompt, const std::string& completion) const {
    const Json line{{"prompt", prompt}, {"completion", completion}};
    const Outcome outcome = Run({"score", model, "--jsonl"}, line.dump());
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out)["sum"];
  }
  fs::path Checkpoint(const std::string& out) const { return Path(out) + ".checkpoint.safetensors"; }

  /// Starts the command and sends the signal once it has written a checkpoint.
  Outcome Break(const Arguments& command, const std::string& out, int signal) const {
    testing::Program program(command, folder_);
    while (!fs::exists(Checkpoint(out))) {
      if (waitpid(program.pid(), nullptr, WNOHANG) != 0) {
        ADD_FAILURE() << "it ended before it wrote a checkpoint";
        return {};
      }
      poll(nullptr, 0, 1);
    }
    kill(program.pid(), signal);
    return program.Wait();
  }

  std::string model_;
};

/// These need libforge_engine.so.
class TrainWithEngine : public Train {
 protected:
  void SetUp() override {
    if (!FORGE_CAN_TRAIN) GTEST_SKIP() << "this build has no training engine";
    Train::SetUp();
  }
};

TEST_F(TrainWithEngine, MakesTheCompletionsLikelyAndLeavesAModelFolder) {
  const Outcome outcome = Run(Command("out", 200, {"--learning-rate", "0.01", "--json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json result = Json::parse(outcome.out);
  EXPECT_EQ(result["steps"], 200);
  EXPECT_EQ(result["items"], 2);
  // Random weights give each of 259 tokens about e^-5.6; the two items can be learned by heart.
  for (const auto& [prompt, completion] : {std::pair{"ab", "cd"}, {"x", "yz"}}) {
    EXPECT_LT(Score(model_, prompt, completion), -8);
    EXPECT_GT(Score(Path("out"), prompt, completion), -1);
  }
  EXPECT_EQ(Run({"inspect", Path("out")}).code, 0);
  EXPECT_TRUE(fs::exists(Path("out/tokenizer.json")));
  EXPECT_FALSE(fs::exists(Checkpoint("out")));
}

TEST_F(TrainWithEngine, GivesTheSameBytesForTheSameSeed) {
  // 3 rows of 2 documents: which comes twice in a step is the seed's choice.
  for (const char* out : {"a", "b"}) ASSERT_EQ(Run(Command(out, 5, {"--batch-rows", "3"})).code, 0);
  ASSERT_EQ(Run(Command("c", 5, {"--batch-rows", "3", "--seed", "2"})).code, 0);
  EXPECT_TRUE(Bytes("a") == Bytes("b"));
  EXPECT_FALSE(Bytes("a") == Bytes("c"));
}

TEST_F(TrainWithEngine, GoesOnAfterAStopOrAKillToTheSameBytes) {
  constexpr int kSteps = 6 * kCheckpointInterval;
  ASSERT_EQ(Run(Command("unbroken", kSteps)).code, 0);
  for (const int signal : {SIGKILL, SIGINT}) {
    const std::string out = "broken" + std::to_string(signal);
    const Outcome broken = Break(Command(out, kSteps), out, signal);
    EXPECT_EQ(broken.code, signal == SIGINT ? kInterrupted : -SIGKILL) << broken.err;
    EXPECT_FALSE(fs::exists(Path(out)));
    if (signal == SIGINT) {
      EXPECT_NE(broken.err.find("run the same command again"), std::string::npos) << broken.err;
    }
    const Outcome second = Run(Command(out, kSteps));
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_NE(second.err.find("going on after step"), std::string::npos) << second.err;
    EXPECT_TRUE(Bytes(out) == Bytes("unbroken"));
    EXPECT_FALSE(fs::exists(Checkpoint(out)));
  }
}

TEST_F(TrainWithEngine, DoesNotGoOnFromTheCheckpointOfOtherSettingsOrData) {
  constexpr int kSteps = 6 * kCheckpointInterval;
  const std::string data = io::ReadFile(Path("data.jsonl"));
  const Arguments seed{"--seed", "2"};
  ASSERT_EQ(Run(Command("unbroken", kSteps, seed)).code, 0);
  Break(Command("seed", kSteps), "seed", SIGKILL);
  Outcome second = Run(Command("seed", kSteps, seed));
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(second.err.find("going on"), std::string::npos) << second.err;
  EXPECT_TRUE(Bytes("seed") == Bytes("unbroken"));
  io::WriteFileAtomically(Path("data.jsonl"), "{\"prompt\": \"other\", \"completion\": \"data\"}\n");
  Break(Command("data", kSteps, seed), "data", SIGKILL);
  io::WriteFileAtomically(Path("data.jsonl"), data);
  second = Run(Command("data", kSteps, seed));
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_TRUE(Bytes("data") == Bytes("unbroken"));
}

TEST_F(TrainWithEngine, LeavesOutItemsThatAreTooLong) {
  const Json item{{"prompt", std::string(100, 'a')}, {"completion", "b"}};
  io::WriteFileAtomically(Path("data.jsonl"), io::ReadFile(Path("data.jsonl")) + "\n" + item.dump() + "\n");
  const Outcome outcome = Run(Command("out", 2, {"--max-tokens", "50", "--json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["items"], 2);
  EXPECT_NE(outcome.err.find("left out 1 of 3 items"), std::string::npos) << outcome.err;
}

TEST_F(TrainWithEngine, WritesAnAdapterThatBelongsToTheModel) {
  const Arguments lora{
      "--lora-rank", "4", "--learning-rate", "0.02", "--lora-target", "q_proj,up_proj,down_proj"};
  const Outcome outcome = Run(Command("out", 200, lora));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("the adapter is in"), std::string::npos) << outcome.out;
  EXPECT_EQ(Bytes("out").size(), 2u);
  const std::string both = model_ + "+" + Path("out");
  // Norm and head of random numbers are frozen and give an adapter little to work with.
  EXPECT_GT(Score(both, "ab", "cd"), Score(model_, "ab", "cd") + 0.5);
  EXPECT_EQ(Run({"inspect", both}).code, 0);
  EXPECT_EQ(Run({"generate", both, "--prompt", "ab", "--max-new-tokens", "2"}).code, 0);
}

TEST_F(TrainWithEngine, GoesOnWithAnAdapterAfterAKillToTheSameBytes) {
  constexpr int kSteps = 6 * kCheckpointInterval;
  const Arguments lora{"--lora-rank", "2"};
  ASSERT_EQ(Run(Command("unbroken", kSteps, lora)).code, 0);
  Break(Command("broken", kSteps, lora), "broken", SIGKILL);
  const Outcome second = Run(Command("broken", kSteps, lora));
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_NE(second.err.find("going on after step"), std::string::npos) << second.err;
  EXPECT_TRUE(Bytes("broken") == Bytes("unbroken"));
}

TEST_F(TrainWithEngine, LearnsTextsPackedIntoRows) {
  io::WriteFileAtomically(Path("data.txt"), "abcd\n\nwxyz\n");
  const Outcome outcome =
      Run({"train", model_, "--data", Path("data.txt"), "--out", Path("out"), "--steps", "200",
           "--batch-tokens", "16", "--sequence-length", "16", "--lr", "0.01", "--device", "cpu", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("2 documents in 1 rows"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("3200/3200 tokens"), std::string::npos) << outcome.err;
  EXPECT_GT(Json::parse(outcome.out)["tokens_per_second"], 0);
  EXPECT_GT(Score(Path("out"), "a", "bcd"), -1);
  EXPECT_GT(Score(Path("out"), "w", "xyz"), -1);  // learned without having seen "abcd" before it
}

TEST_F(TrainWithEngine, LearnsPromptsOnlyWhenAsked) {
  ASSERT_EQ(Run(Command("masked", 100, {"--learning-rate", "0.01"})).code, 0);
  ASSERT_EQ(Run(Command("learned", 100, {"--learning-rate", "0.01", "--no-mask-prompt"})).code, 0);
  EXPECT_GT(Score(Path("learned"), "a", "b"), -1);
  EXPECT_LT(Score(Path("masked"), "a", "b"), -2);
}

// A model of 28 million weights, so that the parts that grow with it are more than the program itself. The
// smallest limit is the one that a refusal names.
TEST_F(TrainWithEngine, StaysBelowThePlannedMemory) {
  model_ = MakeModel("large", 512, 512, 1, 32);
  const Arguments rows{"--full", "--batch-rows", "0", "--batch-tokens", "1024", "--sequence-length", "128"};
  const auto with = [&](const std::string& flag, const std::string& value) {
    Arguments arguments = rows;
    arguments.insert(arguments.end(), {flag, value, "--json"});
    return arguments;
  };
  const Outcome refused = Run(Command("refused", 2, with("--max-memory-gb", "0.1")));
  EXPECT_EQ(refused.code, kInput);
  const std::size_t named = refused.err.find("--max-memory-gb ");
  ASSERT_NE(named, std::string::npos) << refused.err;
  const double smallest = std::stod(refused.err.substr(named + std::string("--max-memory-gb ").size()));
  for (const bool is_limited : {false, true}) {
    const std::string limit = is_limited ? std::to_string(smallest) : "0", out = "out" + limit;
    const Outcome outcome = Run(Command(out, 2, with("--max-memory-gb", limit)), "", 250);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const double planned = Json::parse(outcome.out)["planned_bytes"],
                 peak = static_cast<double>(outcome.peak_bytes);
    EXPECT_LT(peak, planned) << outcome.err;
    EXPECT_GT(peak, 0.6 * planned) << outcome.err;
    if (is_limited) {
      EXPECT_LE(planned, smallest * 1e9);
      EXPECT_NE(outcome.err.find("activations computed again"), std::string::npos) << outcome.err;
    }
  }
}

TEST_F(Train, RefusesFlagsThatContradictEachOther) {
  for (const Arguments& more : {Arguments{"--full", "--lora-rank", "4"},
                                {"--lora-rank", "4", "--lora-target", "q_proj,nose"},
                                {"--mask-prompt", "--no-mask-prompt"},
                                {"--batch-rows", "0", "--max-tokens", "300"},
                                {Path("another")}}) {
    const Outcome outcome = Run(Command("new/out", 2, more));
    EXPECT_EQ(outcome.code, kUsage) << outcome.err;
    EXPECT_FALSE(fs::exists(Path("new")));
  }
}

TEST_F(Train, RefusesDataThatItCannotUseAndLeavesNothing) {
  const std::string good = "{\"prompt\": \"a\", \"completion\": \"b\"}\n";
  const std::vector<std::pair<std::string, Arguments>> bad{
      {good + "{\"prompt\": \"a\", \"comple", {"line 2 of ", "syntax error"}},
      {good + "\n\"text\"\n", {"line 3 of ", "no object"}},
      {"{\"prompt\": \"a\"}", {"line 1 of ", "\"completion\" is missing"}},
      {good + "{\"prompt\": [1], \"completion\": \"b\"}", {"line 2 of ", "\"prompt\" is no text, but [1]"}},
      {good + "{\"prompt\": \"a\", \"completion\": \"\"}", {"line 2 of ", "\"completion\" is empty"}},
      {"", {"there is nothing to train on", "the file has no items"}},
      {std::string(1000, '\0'), {"line 1 of ", "syntax error"}}};
  for (const auto& [text, parts] : bad) {
    io::WriteFileAtomically(Path("data.jsonl"), text);
    const Outcome outcome = Run(Command("new/out", 2));
    EXPECT_EQ(outcome.code, kInput) << outcome.err;
    EXPECT_NE(outcome.err.find("\n  fix: "), std::string::npos) << outcome.err;
    for (const std::string& part : parts)
      EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " is not in\n" << outcome.err;
    EXPECT_FALSE(fs::exists(Path("new")));
  }
  io::WriteFileAtomically(Path("data.jsonl"), good);
  EXPECT_EQ(Run(Command("new/out", 2, {"--data", Path("none.jsonl")})).code, kInput);
  EXPECT_EQ(Run(Command("new/out", 2, {"--data", folder_.string()})).code, kInput);
  const Json long_item{{"prompt", std::string(100, 'a')}, {"completion", "b"}};
  io::WriteFileAtomically(Path("data.jsonl"), long_item.dump());
  const Outcome outcome = Run(Command("new/out", 2, {"--max-tokens", "50"}));
  EXPECT_EQ(outcome.code, kInput);
  EXPECT_NE(outcome.err.find("every item is longer than --max-tokens"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(Path("new")));
}

}  // namespace
}  // namespace forge
