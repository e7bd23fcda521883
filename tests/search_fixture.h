// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include "cli_fixture.h"

namespace forge {

namespace fs = std::filesystem;
using io::Json;
using ::testing::HasSubstr;
using testing::Outcome;

/// Three tiny models of random weights and a task, and forge evo on them.
class SearchProgram : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    base_ = MakeModel("base", 256, 1000,
                      1);  // wide: random models are sure of themselves, and their mean less wrong
    a_ = MakeModel("a", 256, 1000, 2);
    b_ = MakeModel("b", 256, 1000, 3);
    std::string lines;
    for (int i = 0; i < 120; ++i)
      lines += Json{{"domain", i % 2 == 0 ? "even" : "odd"},
                    {"prompt", "The number after " + std::to_string(i) + " is "},
                    {"completion", std::to_string(i + 1) + "."}}
                   .dump() +
               "\n";
    io::WriteFileAtomically(folder_ / "items.jsonl", lines);
  }

  Outcome Search(const std::string& algorithm, const std::string& output,
                 const std::vector<std::string>& more = {}) const {
    return Run(Arguments(algorithm, output, more));
  }
  std::vector<std::string> Arguments(const std::string& algorithm, const std::string& output,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"evo",     "--base",           base_, "--base-models", a_ + "," + b_,
                                       "--tasks", Path("items.jsonl")};
    for (const std::string& word :
         {std::string("--search-items"), std::string("8"), std::string("--selection-items"),
          std::string("15"), std::string("--test-items"), std::string("12"), std::string("--evaluations"),
          std::string("24"), std::string("--layer-groups"), std::string("2"), std::string("--promoted"),
          std::string("2"), std::string("--algorithm"), algorithm, std::string("--output-dir"), Path(output),
          std::string("--json")})
      arguments.push_back(word);
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  static Json Result(const Outcome& outcome) {
    const Json json = Json::parse(outcome.out);
    return json.contains("evolve") ? json["evolve"] : json;
  }

  std::string Champion(const std::string& output) const {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / output))
      if (fs::exists(entry.path() / "evolve/champion/model.safetensors"))
        return io::ReadFile(entry.path() / "evolve/champion/model.safetensors");
    return "";
  }

  std::string base_, a_, b_;
};

}  // namespace forge
