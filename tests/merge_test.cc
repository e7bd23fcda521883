// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "cli_fixture.h"

namespace forge {
namespace {

using ::testing::HasSubstr;

class MergeProgram : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    for (const char* name : {"a", "b"})  // wide enough that a tensor is merged in several pieces
      MakeModel(name, 1024, 2048, name[0], 1);
  }
  /// Of a as base and b, by a method that drops changes at random.
  std::string Recipe(const std::string& more = "") const {
    io::WriteFileAtomically(folder_ / "recipe.yml", "merge_method: dare_ties\nbase_model: " + Path("a") +
                                                        "\nmodels: [{model: " + Path("b") +
                                                        ", parameters: {weight: 1, density: 0.5}}]\n" + more);
    return Path("recipe.yml");
  }
  std::string MergedWith(const char* threads) const {
    setenv("FORGE_THREADS", threads, 1);
    EXPECT_EQ(Run({"merge", Recipe(), Path("out"), "--replace", "--no-smoke-test"}).code, 0);
    unsetenv("FORGE_THREADS");
    return io::ReadFile(folder_ / "out/model.safetensors");
  }
};

TEST_F(MergeProgram, WritesTheSameBytesWithAnyNumberOfThreads) {
  EXPECT_TRUE(MergedWith("1") == MergedWith("2"));
}

TEST_F(MergeProgram, ShowsInADryRunWhatBecomesOfTheVocabularies) {
  const std::string recipe =
      Recipe("tokenizer: {source: union, pad_to_multiple_of: 64}\nchat_template: chatml\n");
  const std::string shown = Run({"merge", recipe, "--dry-run"}).out;
  EXPECT_THAT(shown, HasSubstr("vocabulary (union): 259 tokens in 320 rows, 259 in all models, 0 new"));
  EXPECT_THAT(shown, HasSubstr(Path("b") + ": 259 rows before, 259 of them kept, 61 padding"));
  EXPECT_THAT(shown, HasSubstr("chat template: chatml"));
  EXPECT_THAT(shown, HasSubstr("note: the template chatml writes <|im_start|>"));
  const io::Json preview =
      io::ParseJson(Run({"merge", recipe, Path("out"), "--dry-run", "--json"}).out, "preview");
  EXPECT_EQ(preview["vocabulary"]["models"][1]["padding"], 61);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(MergeProgram, RefusesAChatTemplateThatIsNotThere) {
  const testing::Outcome outcome = Run({"merge", Recipe("chat_template: lama3\n"), Path("out")});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean llama3?"));
}

}  // namespace
}  // namespace forge
