// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/model_folder.h"
#include "model/testing_models.h"
#include "pipeline/model_merge.h"
#include "text/byte_tokenizer.h"
#include "text/load_tokenizer.h"

/// For tests only: a folder of small models, and merges of them.
namespace forge::pipeline::testing {

class MergeFolder : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  /// Stored as float32; without a tokenizer unless one is given.
  void Save(const std::string& name, const model::ModelConfig& config, const model::ModelWeights& weights,
            const text::TokenizerData* tokenizer = nullptr) const {
    model::SaveModelFolder(folder_ / name, config, weights, io::FloatType::kF32, "");
    if (tokenizer != nullptr) text::SaveTokenizer(folder_ / name, *tokenizer, config.max_position_embeddings);
  }

  /// The merge of a YAML text in which "@x" stands for the path of the model x.
  ModelMerge Open(std::string yaml, ModelMergeSettings settings = {}) const {
    for (std::size_t at = 0; (at = yaml.find('@', at)) != std::string::npos;)
      yaml.replace(at, 1, folder_.string() + "/");
    settings.recipe = yaml;
    std::vector<merge::MergeConfig> configs = merge::ParseMergeConfigs(yaml, "recipe.yml");
    return ModelMerge(std::move(configs[0]), settings,
                      [](const std::string& name) { return std::filesystem::path(name); });
  }

  /// Writes it to the folder `out` and returns the report.
  io::Json Merge(const std::string& yaml, ModelMergeSettings settings = {},
                 const std::string& out = "out") const {
    NullMetricSink sink;
    return Open(yaml, settings).Write(folder_ / out, sink, StopToken());
  }

  /// What the merge throws, as the user sees it; "no error" if nothing.
  std::string ErrorOf(const std::string& yaml, ModelMergeSettings settings = {}) const {
    try {
      Merge(yaml, settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  /// What is in the folder.
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      names.insert(entry.path().filename().string());
    return names;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("forge-merge-test-" + std::to_string(getpid()));
};

}  // namespace forge::pipeline::testing
