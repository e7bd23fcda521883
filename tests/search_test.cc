// SPDX-License-Identifier: Apache-2.0
// forge evo with the searches over coefficients, and forge lineage, on tiny models of random weights.
#include "search_fixture.h"

namespace forge {
namespace {

TEST_F(SearchProgram, EveryAlgorithmFindsAChampionAndSaysWhatItCost) {
  for (const char* algorithm : {"cma-es", "nsga2", "map-elites", "random"}) {
    const Outcome outcome = Search(algorithm, algorithm);
    ASSERT_LE(outcome.code, 1) << algorithm << outcome.err;  // 1: no gain
    const Json result = Result(outcome);
    EXPECT_EQ(result["algorithm"], algorithm);
    // 24 proposals by likelihood; by the task two parents, the base, the average, the two best of the finest
    // level and the search's centre. What is the same merge again is not measured again.
    const Json& cost = result["cost"];
    const int likelihood = cost["likelihood_evaluations"], full = cost["full_evaluations"],
              repeated = cost["repeated_evaluations"];
    EXPECT_EQ(likelihood + full + repeated, 24 + 7);
    EXPECT_GE(likelihood, 22);
    EXPECT_GE(full, 6);
    EXPECT_GT(cost["tokens"], 1000);
    EXPECT_EQ(result["candidates"], 3);
    EXPECT_EQ(result["champion_recipe"]["level"], "layers");
  }
}

TEST_F(SearchProgram, GivesTheSameBytesForTheSameSeed) {
  ASSERT_EQ(Search("cma-es", "one").code, 0);
  ASSERT_EQ(Search("cma-es", "two").code, 0);
  EXPECT_TRUE(Champion("one") == Champion("two"));
}

TEST_F(SearchProgram, ScoresEveryProposalByTheTaskWhereThatGuides) {
  const Json result = Result(Search("cma-es", "output", {"--guide", "task", "--finest-level", "models"}));
  EXPECT_EQ(result["candidates"], 24);
  EXPECT_EQ(result["cost"]["likelihood_evaluations"], 0);
  EXPECT_EQ(result["champion_recipe"]["level"], "models");
}

TEST_F(SearchProgram, KeepsDomainsAboveTheirBestParentWhereAsked) {
  const Outcome outcome = Search("cma-es", "output", {"--min-per-domain", "0.05", "--method-gene"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(Search("cma-es", "other", {"--algorithm", "cmaes"}).code, 2);
}

TEST_F(SearchProgram, LineageWritesAConfigThatGivesTheChampionsBytes) {
  const Json result = Result(Search("cma-es", "output"));
  ASSERT_EQ(result["verdict"], "gain");  // means of random models predict better than each of them
  const Outcome lineage = Run({"lineage", "--output-dir", Path("output"), "--mergekit", Path("champion.yml"),
                               "--html", Path("lineage.html")});
  ASSERT_EQ(lineage.code, 0) << lineage.err;
  EXPECT_THAT(lineage.out, HasSubstr("task arithmetic"));
  EXPECT_THAT(io::ReadFile(folder_ / "lineage.html"), HasSubstr("<svg"));
  ASSERT_EQ(Run({"merge", Path("champion.yml"), Path("again"), "--no-smoke-test"}).code, 0);
  EXPECT_TRUE(io::ReadFile(folder_ / "again/model.safetensors") == Champion("output"));
}

TEST_F(SearchProgram, StacksLayersAtTheFinestLevelAndLineageWritesThem) {
  const Outcome outcome = Search("cma-es", "output", {"--finest-level", "paths", "--path-slices", "2"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(Run({"lineage", "--output-dir", Path("output"), "--mergekit", Path("champion.yml")}).code, 0);
  ASSERT_EQ(Run({"merge", Path("champion.yml"), Path("again"), "--no-smoke-test", "--intermediate-dir",
                 Path("steps")})
                .code,
            0);
  EXPECT_TRUE(io::ReadFile(folder_ / "again/model.safetensors") == Champion("output"));
}

TEST_F(SearchProgram, LineageWritesTheChampionOfAClassicSearchAsAChain) {
  const Json result = Result(Search("classic", "output", {"--generations", "3", "--seed", "4"}));
  ASSERT_EQ(result["verdict"], "gain");
  ASSERT_EQ(Run({"lineage", "--output-dir", Path("output"), "--mergekit", Path("champion.yml")}).code, 0);
  EXPECT_THAT(io::ReadFile(folder_ / "champion.yml"), HasSubstr("\n---\n"));
  const Outcome merge = Run(
      {"merge", Path("champion.yml"), Path("again"), "--no-smoke-test", "--intermediate-dir", Path("steps")});
  ASSERT_EQ(merge.code, 0) << merge.err;
  EXPECT_TRUE(io::ReadFile(folder_ / "again/model.safetensors") == Champion("output"));
}

TEST_F(SearchProgram, LineageRefusesWhatMergekitCannotSay) {
  ASSERT_LE(Search("classic", "output", {"--generations", "0"}).code, 1);  // 1: no gain
  const Outcome refused =
      Run({"lineage", "--output-dir", Path("output"), "--mergekit", Path("champion.yml")});
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("DARE"));
  EXPECT_EQ(Run({"lineage", "--output-dir", Path("output")}).code, 0);
  EXPECT_EQ(Run({"lineage", "--output-dir", Path("nothing")}).code, 3);
}

TEST_F(SearchProgram, SearchesRopeThetaWhereParentsDifferInItOnly) {
  const auto set = [&](const std::string& model, const char* key, const Json& value) {
    Json config = io::ReadJsonFile(fs::path(model) / "config.json");
    config[key] = value;
    io::WriteJsonFile(fs::path(model) / "config.json", config);
  };
  set(a_, "rope_theta", 40000.0);
  const Outcome refused = Search("classic", "classic");
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("rope_theta is 10000"));
  EXPECT_THAT(refused.err, HasSubstr("--algorithm cma-es"));
  const Outcome outcome = Search("cma-es", "output");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const double theta = Result(outcome)["champion_recipe"]["rope_theta"];
  EXPECT_GE(theta, 10000);
  EXPECT_LE(theta, 40000);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "output")) {
    const fs::path config = entry.path() / "evolve/champion/config.json";
    if (!fs::exists(config)) continue;
    EXPECT_EQ(io::ReadJsonFile(config)["rope_theta"], theta);
  }
  const Outcome lineage =
      Run({"lineage", "--output-dir", Path("output"), "--mergekit", Path("champion.yml")});
  EXPECT_EQ(lineage.code, 3);
  EXPECT_THAT(lineage.err, HasSubstr("rope theta"));
  // With others beside it all are named at once.
  set(a_, "rms_norm_eps", 1e-3);
  Json tokenizer = io::ReadJsonFile(fs::path(b_) / "tokenizer.json");
  std::swap(tokenizer["model"]["vocab"]["A"], tokenizer["model"]["vocab"]["B"]);
  io::WriteJsonFile(fs::path(b_) / "tokenizer.json", tokenizer);
  const Outcome all = Search("classic", "all");
  EXPECT_EQ(all.code, 3);
  for (const char* text : {"rope_theta", "rms_norm_eps", "2 of 259 tokens differ", "tokenizer_source: base"})
    EXPECT_THAT(all.err, HasSubstr(text));
  // What it says to do about the vocabulary helps.
  set(a_, "rms_norm_eps", 1e-6);
  io::WriteFileAtomically(folder_ / "one.yml",
                          "merge_method: linear\nbase_model: " + base_ + "\nmodels:\n  - {model: " + base_ +
                              ", parameters: {weight: 0}}\n  - {model: " + b_ +
                              ", parameters: {weight: 1}}\ntokenizer_source: base\ndtype: float32\n");
  ASSERT_EQ(Run({"merge", Path("one.yml"), Path("b2"), "--no-smoke-test"}).code, 0);
  b_ = Path("b2");
  EXPECT_LE(Search("cma-es", "after").code, 1);
}

}  // namespace
}  // namespace forge
