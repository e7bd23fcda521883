// SPDX-License-Identifier: Apache-2.0
// A ternary model says with int8 activations what it says with float32 ones, nearly.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/group_ternary.h"
#include "compress/testing_model.h"
#include "model/model_folder.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

constexpr const char* kModel = "data/golden/stories260K_llama";

struct TernaryModels {
  model::ModelConfig config;
  std::unique_ptr<runtime::NativeModel> exact, fast;
};

/// A trained model (stories260K), its linears rounded to ternary in groups of 64, or of a row where 64 does
/// not divide it: worse than it was, but with something to say.
TernaryModels MakeModels() {
  model::ModelFolder folder = model::LoadModelFolder(model::testing::SharedFolder() / kModel);
  const model::ModelConfig& config = folder.config;
  model::ModelWeights& weights = folder.weights;
  model::TernaryWeights ternary;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    if (!model::IsLinear(spec)) continue;
    const auto columns = static_cast<int>(spec.shape[1]);
    ternary[spec.name] = TernarizeTensor(weights.at(spec.name).values, spec.shape[0], spec.shape[1],
                                         columns % 64 == 0 ? 64 : columns);
    weights.erase(spec.name);
  }
  const auto make = [&](runtime::Activations activations) {
    const runtime::PackOptions options{.embeddings = runtime::WeightType::kInt8, .activations = activations};
    return std::make_unique<runtime::NativeModel>(config, weights, options, ternary);
  };
  return {config, make(runtime::Activations::kFloat32), make(runtime::Activations::kInt8IfTernary)};
}

std::vector<model::Generation> Write(runtime::NativeModel& model, double temperature, int tokens) {
  std::vector<model::GenerateRequest> requests;
  for (std::uint64_t i = 0; i < 20; ++i)
    requests.push_back({testing::RandomText(model.config(), i, 5), 100 + i});
  return model.Generate(requests, {.max_new_tokens = tokens, .temperature = temperature});
}

TEST(Int8Activations, GreedyTextIsNearlyTheSame) {
  FORGE_SKIP_WITHOUT_SHARED(kModel);
  TernaryModels models = MakeModels();
  ASSERT_EQ(models.fast->transformer().activations(), runtime::Activations::kInt8);
  const auto expected = Write(*models.exact, 0, 32), actual = Write(*models.fast, 0, 32);
  // Up to the first token that differs: after it the texts are about something else.
  int same = 0, compared = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    for (std::size_t t = 0; t < expected[i].tokens.size(); ++t, ++compared) {
      if (t >= actual[i].tokens.size() || expected[i].tokens[t] != actual[i].tokens[t]) {
        ++compared;
        break;
      }
      ++same;
    }
  EXPECT_GE(same, 0.95 * compared) << same << " of " << compared;
}

TEST(Int8Activations, MeanLogProbabilityOfItsOwnTextChangesByLessThanTwoInAThousand) {
  FORGE_SKIP_WITHOUT_SHARED(kModel);
  TernaryModels models = MakeModels();
  std::vector<model::ScoreRequest> requests;
  for (const model::Generation& text : Write(*models.exact, 1, 100)) {
    if (text.tokens.size() < 2) continue;
    requests.push_back({.prefix = {text.tokens[0]},
                        .continuations = {std::vector(text.tokens.begin() + 1, text.tokens.end())}});
  }
  const auto nats = [&](runtime::NativeModel& model) {
    double sum = 0;
    int count = 0;
    for (const auto& continuations : model.Score(requests))
      for (const float log_prob : continuations[0]) sum -= log_prob, ++count;
    EXPECT_GT(count, 500);
    return sum / count;
  };
  const double exact = nats(*models.exact), fast = nats(*models.fast);
  EXPECT_GT(exact, 0.3);
  EXPECT_LT(exact, std::log(models.config.vocab_size) - 0.5);  // it does have something to say
  EXPECT_NEAR(fast, exact, 0.002 * exact);
  EXPECT_NE(fast, exact);  // two different computations
}

}  // namespace
}  // namespace forge::compress
