// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "base/philox.h"
#include "io/json_file.h"
#include "model/model_folder.h"
#include "program.h"
#include "text/byte_tokenizer.h"

namespace forge {

/// For tests only: a folder that goes away with the test, in which forge runs.
class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("forge-cli-test-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  testing::Outcome Run(const std::vector<std::string>& arguments, const std::string& input = "",
                       int seconds = testing::kProgramSeconds) const {
    return testing::RunProgram(arguments, folder_, input, seconds);
  }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  /// A qwen2 model of random weights over bytes.
  std::string MakeModel(const std::string& name, int hidden_size = 32, int positions = 100'000,
                        std::uint64_t seed = 1, int layers = 2) const {
    const model::ModelConfig config{.model_type = "qwen2",
                                    .vocab_size = text::kByteVocabSize,
                                    .hidden_size = hidden_size,
                                    .intermediate_size = 64,
                                    .num_hidden_layers = layers,
                                    .num_attention_heads = 2,
                                    .num_key_value_heads = 1,
                                    .head_dim = hidden_size / 2,
                                    .max_position_embeddings = positions,
                                    .attention_bias = true,
                                    .tie_word_embeddings = true,
                                    .eos_token_ids = {text::kByteEndOfText}};
    model::ModelWeights weights;
    for (const model::TensorSpec& spec : model::ListTensors(config)) {
      Random random(seed, spec.name);
      model::Tensor& tensor = weights[spec.name];
      tensor.shape = spec.shape;
      std::size_t size = 1;
      for (const auto length : spec.shape) size *= static_cast<std::size_t>(length);
      for (std::size_t i = 0; i < size; ++i)
        tensor.values.push_back(static_cast<float>(random.Normal() * 0.1));
    }
    const std::filesystem::path tokenizer = folder_ / "tokenizer";
    std::filesystem::create_directories(tokenizer);
    io::WriteJsonFile(tokenizer / "tokenizer.json", text::MakeByteTokenizerJson());
    io::WriteJsonFile(tokenizer / "tokenizer_config.json", text::MakeByteTokenizerConfigJson());
    model::SaveModelFolder(folder_ / name, config, weights, io::FloatType::kF32, tokenizer, true);
    return Path(name);
  }

  std::filesystem::path folder_;
};

}  // namespace forge
