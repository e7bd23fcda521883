// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "io/json_file.h"
#include "io/safetensors_writer.h"
#include "model/model_folder.h"
#include "model/testing_models.h"
#include "program.h"
#include "text/byte_tokenizer.h"

namespace forge {

namespace fs = std::filesystem;

/// A folder for tiny models, and the built program.
class Files : public ::testing::Test {
 protected:
  Files() { fs::create_directories(folder_); }
  ~Files() override { fs::remove_all(folder_); }

  testing::Outcome Run(const std::vector<std::string>& arguments) const {
    return testing::RunProgram(arguments, folder_);
  }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  static model::ModelConfig Config(const std::string& model_type) {
    model::ModelConfig config = model::testing::TinyConfig(model_type);
    config.vocab_size = text::kByteVocabSize;
    config.eos_token_ids = {text::kByteEndOfText};
    return config;
  }
  /// A model over bytes, of random weights.
  model::ModelWeights Make(const std::string& name, const model::ModelConfig& config, std::uint64_t seed = 1,
                           io::FloatType type = io::FloatType::kF32) const {
    const fs::path tokenizer = folder_ / "tokenizer";
    fs::create_directories(tokenizer);
    io::WriteJsonFile(tokenizer / "tokenizer.json", text::MakeByteTokenizerJson());
    io::WriteJsonFile(tokenizer / "tokenizer_config.json", text::MakeByteTokenizerConfigJson());
    const model::ModelWeights weights = model::testing::RandomWeights(config, seed);
    model::SaveModelFolder(folder_ / name, config, weights, type, tokenizer, true);
    return weights;
  }
  /// A LoRA adapter of rank 2 on one linear.
  void MakeAdapter(const std::string& name) const {
    fs::create_directories(folder_ / name);
    io::WriteJsonFile(folder_ / name / "adapter_config.json",
                      {{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 4}, {"bias", "none"}});
    const std::vector<float> a(2 * 64, 0.25f), b(128 * 2, 0.5f);
    const std::string prefix = "base_model.model.model.layers.1.mlp.up_proj.lora_";
    io::WriteSafetensors(folder_ / name / "adapter_model.safetensors",
                         {{prefix + "A.weight", {2, 64}, a}, {prefix + "B.weight", {128, 2}, b}},
                         io::FloatType::kF32);
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge-files-test-" + std::to_string(getpid()));
};

}  // namespace forge
