// SPDX-License-Identifier: Apache-2.0
// The built program, run as a user runs it.
#include <poll.h>
#include <signal.h>

#include <sstream>

#include "cli_fixture.h"

namespace forge {
namespace {

namespace fs = std::filesystem;

using testing::Outcome;
using testing::Program;

/// The command names of `forge --help`.
std::vector<std::string> CommandNames(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream lines(help.substr(help.find("Commands:")));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && line.starts_with("  "))
    names.push_back(line.substr(2, line.find(' ', 2) - 2));
  return names;
}

TEST_F(Cli, ShowsHelpWithAnExampleForEveryCommand) {
  const Outcome help = Run({"--help"});
  EXPECT_EQ(help.code, 0);
  const std::vector<std::string> names = CommandNames(help.out);
  for (const char* name : {"starter", "evo", "generate", "chat", "eval", "perplexity", "tokenize", "inspect",
                           "check", "convert", "status", "runs", "report", "dashboard", "doctor"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  for (const std::string& name : names) {
    const Outcome one = Run({name, "--help"});
    EXPECT_EQ(one.code, 0) << name;
    EXPECT_NE(one.out.find("Usage: forge " + name), std::string::npos) << name;
    EXPECT_NE(one.out.find("Example:\n  "), std::string::npos) << name;
    EXPECT_EQ(one.err, "") << name;
  }
}

TEST_F(Cli, NamesTheNearestFlagAndCommand) {
  const Outcome flag = Run({"generate", "model", "--promt", "x"});
  EXPECT_EQ(flag.code, 2);
  EXPECT_NE(flag.err.find("did you mean --prompt?"), std::string::npos) << flag.err;
  const Outcome command = Run({"generat"});
  EXPECT_EQ(command.code, 2);
  EXPECT_NE(command.err.find("did you mean forge generate?"), std::string::npos) << command.err;
}

TEST_F(Cli, EndsWith2ForWrongUsage) {
  EXPECT_EQ(Run({}).code, 2);
  EXPECT_EQ(Run({"generate"}).code, 2);                                                 // no model
  EXPECT_EQ(Run({"generate", "m"}).code, 2);                                            // no prompt
  EXPECT_EQ(Run({"generate", "m", "--prompt", "x", "--max-new-tokens", "0"}).code, 2);  // out of range
  EXPECT_EQ(Run({"generate", "m", "--prompt", "x", "--seed", "one"}).code, 2);          // not a number
  EXPECT_EQ(Run({"generate", "m", "--prompt", "x", "--weights", "f8"}).code, 2);  // not one of the words
  EXPECT_EQ(Run({"check", "m"}).code, 2);
  EXPECT_EQ(Run({"tokenize", "m"}).code, 2);
  EXPECT_EQ(Run({"convert", "m"}).code, 2);
}

TEST_F(Cli, EndsWith3ForInputThatCannotBeUsed) {
  const Outcome missing = Run({"generate", Path("nothing"), "--prompt", "x"});
  EXPECT_EQ(missing.code, 3);
  EXPECT_EQ(missing.out, "");
  for (const char* part : {"error: ", "\n  why: ", "\n  fix: "})
    EXPECT_NE(missing.err.find(part), std::string::npos) << missing.err;
  const std::string model = MakeModel("cut");
  fs::resize_file(fs::path(model) / "model.safetensors", 5000);
  for (const char* command : {"inspect", "chat"}) {
    const Outcome cut = Run({command, model});
    EXPECT_EQ(cut.code, 3) << command;
    EXPECT_NE(cut.err.find("model.safetensors"), std::string::npos) << cut.err;
  }
  io::WriteFileAtomically(folder_ / "broken.gguf", "GGUF\x03");
  EXPECT_EQ(Run({"generate", Path("broken.gguf"), "--prompt", "x"}).code, 3);
  EXPECT_EQ(Run({"report", "--output-dir", Path("none")}).code, 3);
  EXPECT_EQ(Run({"eval", MakeModel("m"), "--tasks", Path("none.jsonl")}).code, 3);
}

TEST_F(Cli, PrintsOneJsonObject) {
  const std::string model = MakeModel("model");
  io::WriteFileAtomically(folder_ / "text.txt", "What a text is made of, in a few words.");
  const std::vector<std::vector<std::string>> commands{
      {"generate", model, "--prompt", "abc", "--max-new-tokens", "8", "--temperature",
       "2"},  // bytes that are no UTF-8, too
      {"tokenize", model, "--text", "a\xC3\xB6"},
      {"inspect", model},
      {"check", model, model},
      {"perplexity", model, "--file", Path("text.txt"), "--context", "16", "--stride", "8"},
      {"eval", model, "--items", "4"},
      {"convert", model, Path("out.gguf")},
      {"status", "--output-dir", Path("none")},
      {"runs", "--output-dir", Path("none")},
      {"doctor"}};
  for (std::vector<std::string> command : commands) {
    command.push_back("--json");
    const Outcome outcome = Run(command);
    EXPECT_EQ(outcome.code, 0) << command[0] << outcome.err;
    EXPECT_TRUE(io::Json::accept(outcome.out)) << command[0] << ": " << outcome.out;
  }
}

TEST_F(Cli, WritesTheSameTextFromAFolderAndFromItsGguf) {
  const std::string model = MakeModel("model");
  ASSERT_EQ(Run({"convert", model, Path("model.gguf")}).code, 0);
  ASSERT_EQ(Run({"convert", Path("model.gguf"), Path("back")}).code, 0);
  EXPECT_EQ(io::ReadFile(fs::path(model) / "model.safetensors"),
            io::ReadFile(folder_ / "back" / "model.safetensors"));
  const std::vector<std::string> flags{"--prompt", "Once [upon] a time", "--max-new-tokens", "40"};
  std::vector<std::string> texts;
  for (const std::string& path : {model, Path("model.gguf"), Path("back")}) {
    std::vector<std::string> arguments{"generate", path, "--json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome outcome = Run(arguments);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const io::Json json = io::Json::parse(outcome.out);
    EXPECT_EQ(json["tokens"], 40);
    EXPECT_EQ(json["prompt_tokens"], 18);
    EXPECT_EQ(json["stopped"], false);
    texts.push_back(json["token_ids"].dump() + json["text"].dump());
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(texts[0], texts[2]);
}

TEST_F(Cli, ScoresLinesAsPerplexityAndGenerateDo) {
  const std::string model = MakeModel("model");
  const Outcome written = Run({"generate", model, "--prompt", "abc", "--max-new-tokens", "3", "--json"});
  const std::vector<int> ids = io::Json::parse(written.out)["token_ids"];
  io::Json greedy{{"ids", {'a', 'b', 'c'}}}, other = greedy;
  for (const int id : ids) greedy["ids"].push_back(id);
  for (const int id : ids) other["ids"].push_back((id + 1) % 256);
  io::WriteFileAtomically(folder_ / "text.txt", "a few words");
  const std::string lines =
      greedy.dump() + "\n\n" + other.dump() + "\n" + R"({"prompt": "a", "completion": " few words"})";
  const Outcome scored = Run({"score", model, "--jsonl", "--top", "2"}, lines);
  ASSERT_EQ(scored.code, 0) << scored.err;
  std::istringstream out(scored.out);
  std::vector<io::Json> results;
  for (std::string line; std::getline(out, line);) results.push_back(io::Json::parse(line));
  ASSERT_EQ(results.size(), 3u);
  for (const io::Json& result : results) {
    double sum = 0;
    for (std::size_t i = 0; i < result["logprobs"].size(); ++i) {
      const double log_prob = result["logprobs"][i], best = result["top"][i][0][1],
                   next = result["top"][i][1][1];
      EXPECT_GE(best, next);
      EXPECT_LE(log_prob, best);
      sum += log_prob;
    }
    EXPECT_DOUBLE_EQ(result["sum"].get<double>(), sum);
  }
  ASSERT_EQ(results[0]["logprobs"].size(), 5u);
  for (std::size_t i = 2; i < 5; ++i) EXPECT_EQ(results[0]["top"][i][0][0], ids[i - 2]);
  EXPECT_EQ(results[1]["greedy"], false);
  const Outcome perplexity = Run({"perplexity", model, "--file", Path("text.txt"), "--json"});
  EXPECT_NEAR(io::Json::parse(perplexity.out)["nll_sum"].get<double>(), -results[2]["sum"].get<double>(),
              1e-5);
  EXPECT_TRUE(io::Json::parse(Run({"score", model, "--jsonl"}, R"({"ids": [7]})").out)["logprobs"].empty());
}

TEST_F(Cli, RefusesLinesThatItCannotScoreByTheirNumber) {
  const std::string model = MakeModel("model");
  for (const char* line :
       {"{", "[1]", R"({"ids": [1, "x"]})", R"({"ids": []})", R"({"prompt": "a"})",
        R"({"ids": [1], "top": 3})", R"({"prompt": "", "completion": "a"})", R"({"ids": [99999]})"}) {
    const Outcome outcome = Run({"score", model, "--jsonl"}, std::string("{\"ids\": [1, 2]}\n") + line);
    EXPECT_EQ(outcome.code, 3) << line;
    EXPECT_NE(outcome.err.find("fix: "), std::string::npos) << outcome.err;
    if (std::string(line).find("99999") == std::string::npos) {
      EXPECT_NE(outcome.err.find("line 2 of standard input"), std::string::npos) << outcome.err;
    }
  }
  EXPECT_EQ(Run({"score", model}, "").code, 2);
}

TEST_F(Cli, MeasuresReadingAndWriting) {
  const Outcome outcome =
      Run({"bench", MakeModel("model"), "--prompt-tokens", "32", "--new-tokens", "8", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const io::Json json = io::Json::parse(outcome.out);
  EXPECT_GT(json["memory_bytes_per_second"].get<double>(), 1e8);
  ASSERT_EQ(json["tests"].size(), 3u);  // a prompt, one sequence, sixteen
  for (const char* key :
       {"prefill_tokens_per_second", "decode_tokens_per_second", "batch16_tokens_per_second",
        "memory_bandwidth_gb_s", "decode_bandwidth_share", "rss_mb", "threads"})
    EXPECT_GT(json.at(key).get<double>(), 0) << key;
  for (const char* key : {"int8_peak_gop_s", "prefill_peak_share", "target"})
    EXPECT_TRUE(json.contains(key)) << key;
  for (const io::Json& test : json["tests"]) {
    EXPECT_GT(test["tokens_per_second"].get<double>(), 0);
    EXPECT_EQ(test["runs"].size(), 3u);
  }
}

TEST_F(Cli, PinsThreadsWhenTold) {
  const std::string model = MakeModel("model");
  const auto pinned = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"bench", model, "--prompt-tokens", "8", "--new-tokens", "0", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const io::Json json = io::Json::parse(outcome.out);
    return std::pair(json.at("pinned_cores").size(), json.at("threads").get<std::size_t>());
  };
  EXPECT_EQ(pinned({}).first, 0u);
  const auto [cores, threads] = pinned({"--pin-threads"});
  EXPECT_EQ(cores, threads);
  EXPECT_EQ(Run({"generate", model, "--prompt", "a", "--max-new-tokens", "3", "--pin-threads"}).code, 0);
}

TEST_F(Cli, DoesNotWriteOverAFileUnlessTold) {
  const std::string model = MakeModel("model");
  ASSERT_EQ(Run({"convert", model, Path("model.gguf")}).code, 0);
  EXPECT_EQ(Run({"convert", model, Path("model.gguf")}).code, 3);
  EXPECT_EQ(Run({"convert", model, Path("model.gguf"), "--type", "q8_0", "--replace"}).code, 0);
}

TEST_F(Cli, ListsWhatKeepsModelsFromBeingMerged) {
  const Outcome outcome = Run({"check", MakeModel("a"), MakeModel("b", 48)});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.out.find("hidden_size is 32"), std::string::npos) << outcome.out;
}

TEST_F(Cli, ChatsOverAPipe) {
  const std::string model = MakeModel("model");
  EXPECT_EQ(Run({"chat", model}, "hello\n").code, 3);  // no chat template
  const Outcome plain =
      Run({"chat", model, "--plain", "--max-new-tokens", "4", "--json"},
          "hello\n/reset\n\nabc\n/stats\n/save " + Path("said.json") + "\n/save\n/nothing\n/exit\nnever\n");
  ASSERT_EQ(plain.code, 0) << plain.err;
  const io::Json turns = io::Json::parse(plain.out)["turns"];
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[1]["user"], "abc");
  const io::Json saved = io::ReadJsonFile(folder_ / "said.json");
  ASSERT_EQ(saved.size(), 2u);
  EXPECT_EQ(saved[1]["content"], turns[1]["assistant"]);
  EXPECT_NE(plain.err.find("2 messages; "), std::string::npos) << plain.err;
  EXPECT_NE(plain.err.find("there is no /nothing"), std::string::npos) << plain.err;
}

// Greedy text of this model never ends by itself; sampled text would, sooner or later.
TEST_F(Cli, EndsWith130AfterCtrlC) {
  const std::string model = MakeModel("model");
  Program program({"generate", model, "--prompt", "abc", "--max-new-tokens", "90000"}, folder_);
  while (program.out().size() < 20 && waitpid(program.pid(), nullptr, WNOHANG) == 0)
    poll(nullptr, 0, 2);  // until it writes text
  kill(program.pid(), SIGINT);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.code, 130);
  EXPECT_GE(outcome.out.size(), 20u);
  EXPECT_NE(outcome.err.find("stopped on request"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace forge
