// SPDX-License-Identifier: Apache-2.0
#include "runtime/native_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>

#include "base/error.h"
#include "base/float16.h"
#include "io/json_file.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"
#include "model/testing_models.h"
#include "runtime/packed_file.h"
#include "runtime/session.h"

namespace forge::runtime {
namespace {

using model::ModelConfig;
using model::ModelWeights;
using model::testing::RandomWeights;
using model::testing::SharedFolder;
using model::testing::TinyConfig;

// The textbook forward pass in double precision, one sequence, no cache: the brute force of this file.
class SlowModel {
 public:
  SlowModel(const ModelConfig& config, const ModelWeights& weights) : config_(config), weights_(weights) {}

  std::vector<std::vector<double>> Logits(const std::vector<int>& tokens) const {
    std::vector<std::vector<double>> states;
    for (const int token : tokens) {
      const auto& table = weights_.at("model.embed_tokens.weight").values;
      const auto begin = table.begin() + token * config_.hidden_size;
      states.emplace_back(begin, begin + config_.hidden_size);
    }
    for (int layer = 0; layer < config_.num_hidden_layers; ++layer) Layer(layer, states);
    std::vector<std::vector<double>> logits;
    for (auto& state : states)
      logits.push_back(Linear(config_.tie_word_embeddings ? "model.embed_tokens" : "lm_head",
                              Norm("model.norm.weight", state)));
    return logits;
  }

  mutable std::map<std::string, std::vector<std::vector<double>>>
      inputs;  // of each linear, in the order of the tokens

 private:
  std::vector<double> Norm(const std::string& name, const std::vector<double>& x) const {
    double mean = 0;
    for (const double value : x) mean += value * value / static_cast<double>(x.size());
    std::vector<double> out;
    for (std::size_t i = 0; i < x.size(); ++i)
      out.push_back(x[i] / std::sqrt(mean + config_.rms_norm_eps) * weights_.at(name).values[i]);
    return out;
  }
  std::vector<double> Linear(const std::string& name, const std::vector<double>& x) const {
    inputs[name].push_back(x);
    const auto& weight = weights_.at(name + ".weight");
    std::vector<double> out(static_cast<std::size_t>(weight.shape[0]));
    for (std::size_t o = 0; o < out.size(); ++o) {
      for (std::size_t i = 0; i < x.size(); ++i) out[o] += double{weight.values[o * x.size() + i]} * x[i];
      if (weights_.contains(name + ".bias")) out[o] += weights_.at(name + ".bias").values[o];
    }
    return out;
  }
  void NormHeads(const std::string& name, std::vector<double>& x) const {
    if (!config_.qk_norm) return;
    for (auto head = x.begin(); head != x.end(); head += config_.head_dim) {
      const std::vector<double> normed = Norm(name, {head, head + config_.head_dim});
      std::copy(normed.begin(), normed.end(), head);
    }
  }
  void Rotate(std::vector<double>& x, int position) const {
    const auto half = static_cast<std::size_t>(config_.head_dim / 2);
    for (std::size_t head = 0; head < x.size(); head += 2 * half)
      for (std::size_t i = 0; i < half; ++i) {
        const double angle =
            position / std::pow(config_.rope_theta, static_cast<double>(i) / static_cast<double>(half)) /
            config_.rope_scaling.factor;
        const double a = x[head + i], b = x[head + half + i];
        x[head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[head + half + i] = b * std::cos(angle) + a * std::sin(angle);
      }
  }
  void Layer(int layer, std::vector<std::vector<double>>& states) const {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const int group = config_.num_attention_heads / config_.num_key_value_heads;
    std::vector<std::vector<double>> keys, values;
    for (std::size_t t = 0; t < states.size(); ++t) {
      const std::vector<double> normed = Norm(prefix + "input_layernorm.weight", states[t]);
      std::vector<double> query = Linear(prefix + "self_attn.q_proj", normed);
      keys.push_back(Linear(prefix + "self_attn.k_proj", normed));
      values.push_back(Linear(prefix + "self_attn.v_proj", normed));
      NormHeads(prefix + "self_attn.q_norm.weight", query);
      NormHeads(prefix + "self_attn.k_norm.weight", keys.back());
      Rotate(query, static_cast<int>(t));
      Rotate(keys.back(), static_cast<int>(t));
      std::vector<double> attended(query.size());
      for (int head = 0; head < config_.num_attention_heads; ++head) {
        const int q = head * config_.head_dim, k = head / group * config_.head_dim;
        std::vector<double> weights(t + 1);
        double total = 0;
        for (std::size_t p = 0; p <= t; ++p) {
          for (int i = 0; i < config_.head_dim; ++i)
            weights[p] += query[static_cast<std::size_t>(q + i)] * keys[p][static_cast<std::size_t>(k + i)];
          total += weights[p] = std::exp(weights[p] / std::sqrt(config_.head_dim));
        }
        for (std::size_t p = 0; p <= t; ++p)
          for (int i = 0; i < config_.head_dim; ++i)
            attended[static_cast<std::size_t>(q + i)] +=
                weights[p] / total * values[p][static_cast<std::size_t>(k + i)];
      }
      const std::vector<double> output = Linear(prefix + "self_attn.o_proj", attended);
      for (std::size_t i = 0; i < output.size(); ++i) states[t][i] += output[i];
    }
    for (auto& state : states) {
      const std::vector<double> normed = Norm(prefix + "post_attention_layernorm.weight", state);
      std::vector<double> gate = Linear(prefix + "mlp.gate_proj", normed);
      const std::vector<double> up = Linear(prefix + "mlp.up_proj", normed);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      const std::vector<double> down = Linear(prefix + "mlp.down_proj", gate);
      for (std::size_t i = 0; i < down.size(); ++i) state[i] += down[i];
    }
  }

  const ModelConfig& config_;
  const ModelWeights& weights_;
};

double LogProb(const std::vector<double>& logits, int token) {
  double total = 0;
  for (const double logit : logits) total += std::exp(logit);
  return logits[static_cast<std::size_t>(token)] - std::log(total);
}

ModelConfig UntiedLlama() {
  ModelConfig config = TinyConfig("llama");
  config.tie_word_embeddings = false;
  return config;
}

ModelConfig ScaledPositions() {
  ModelConfig config = TinyConfig("llama");
  config.rope_scaling = {.type = model::RopeScaling::Type::kLinear, .factor = 4};
  return config;
}

const std::vector<int> kTokens{7, 1, 33, 12, 12, 0, 39, 5, 20, 21, 22};

// Values are O(1) and pass some 20 float32 roundings of relative size 6e-8 in sums of up to 128 terms: 2e-5
// is ample.
TEST(NativeModel, LogitsEqualTheTextbookForwardPass) {
  for (const ModelConfig& config : {TinyConfig("qwen2"), TinyConfig("llama"), UntiedLlama(),
                                    TinyConfig("qwen3"), TinyConfig("mistral"), ScaledPositions()}) {
    const ModelWeights weights = RandomWeights(config);
    NativeModel model(config, weights);
    const std::vector<float> logits = model.Logits(kTokens);
    const auto expected = SlowModel(config, weights).Logits(kTokens);
    for (std::size_t t = 0; t < kTokens.size(); ++t)
      for (std::size_t v = 0; v < expected[t].size(); ++v)
        ASSERT_NEAR(logits[t * expected[t].size() + v], expected[t][v], 2e-5)
            << config.model_type << " " << t;
  }
}

// Heads that fill no panel, more positions than a panel, more rows than a block, in one piece and token by
// token.
TEST(NativeModel, LongTextsAndOddHeadsEqualTheTextbookForwardPass) {
  ModelConfig config = TinyConfig();
  config.head_dim = 22;
  const ModelWeights weights = RandomWeights(config);
  NativeModel model(config, weights);
  std::vector<int> tokens;
  for (int i = 0; i < 75; ++i) tokens.push_back((i * i + 3) % config.vocab_size);
  const std::vector<float> logits = model.Logits(tokens);
  const auto expected = SlowModel(config, weights).Logits(tokens);
  for (std::size_t t = 0; t < tokens.size(); ++t)
    for (std::size_t v = 0; v < expected[t].size(); ++v)
      ASSERT_NEAR(logits[t * expected[t].size() + v], expected[t][v], 2e-5) << t;
  const auto whole = model.Generate(std::vector<model::GenerateRequest>{{tokens, 0}}, {.max_new_tokens = 3});
  std::vector<float> stepwise;
  for (int i = 0; i < 3; ++i) {
    const auto one = model.Generate(std::vector<model::GenerateRequest>{{tokens, 0}}, {.max_new_tokens = 1});
    stepwise.push_back(one[0].log_probs[0]);
    tokens.push_back(one[0].tokens[0]);
  }
  EXPECT_EQ(whole[0].log_probs, stepwise);
}

TEST(NativeModel, ScoresEqualTheTextbookLogProbsWithASharedPrefix) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = RandomWeights(config);
  NativeModel model(config, weights);
  const std::vector<std::vector<int>> continuations{{4}, {9, 9, 2}, {30, 1}};
  std::vector<model::ScoreRequest> requests(9, {kTokens, continuations});
  requests[3] = {{5}, {{1, 2, 3, 4}}};
  const auto scores = model.Score(requests);
  const SlowModel slow(config, weights);
  for (std::size_t r = 0; r < requests.size(); ++r)
    for (std::size_t c = 0; c < requests[r].continuations.size(); ++c) {
      std::vector<int> all = requests[r].prefix;
      all.insert(all.end(), requests[r].continuations[c].begin(), requests[r].continuations[c].end());
      const auto logits = slow.Logits(all);
      for (std::size_t t = 0; t < requests[r].continuations[c].size(); ++t)
        ASSERT_NEAR(scores[r][c][t],
                    LogProb(logits[requests[r].prefix.size() - 1 + t], requests[r].continuations[c][t]),
                    2e-5);
    }
}

TEST(NativeModel, ScoresAreTheSameBitsAloneAsAmongSequencesThatShareTheirBeginnings) {
  const ModelConfig config = TinyConfig();
  NativeModel model(config, RandomWeights(config));
  Random random(2, "requests");
  const auto tokens = [&](std::size_t most) {
    std::vector<int> ids(1 + random.Below(most));
    for (int& id : ids) id = static_cast<int>(random.Below(2));  // two tokens: many common beginnings
    return ids;
  };
  std::vector<model::ScoreRequest> requests;
  for (int i = 0; i < 60; ++i) requests.push_back({tokens(9), {tokens(5), tokens(5)}});
  const auto together = model.Score(requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(model.Score(std::span(&requests[i], 1))[0], together[i]) << i;
}

TEST(NativeModel, TheLastLayerGivesTheSameBitsForSomeTokensAsForAll) {
  const ModelConfig config = TinyConfig();
  NativeModel model(config, RandomWeights(config));
  const std::vector<std::vector<int>> sequences{kTokens, {3, 4}, {9, 8, 7, 6}};
  const std::vector<float> some = model.LastHidden(sequences);
  int seen = 0;
  model.ObserveLinearInputs([&](int, LinearInput, const float*, std::size_t, std::size_t) { ++seen; });
  EXPECT_EQ(model.LastHidden(sequences), some);  // an observer is shown all tokens
  EXPECT_GT(seen, 0);
}

TEST(NativeModel, GreedyGenerationFollowsTheHighestLogitInABatchAsAlone) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = RandomWeights(config);
  NativeModel model(config, weights);
  const SlowModel slow(config, weights);
  std::vector<model::GenerateRequest> requests;
  for (std::size_t length = 1; length <= 9; ++length)
    requests.push_back({{kTokens.begin(), kTokens.begin() + static_cast<std::ptrdiff_t>(length)}, 0});
  const auto results = model.Generate(requests, {.max_new_tokens = 6});
  for (std::size_t r = 0; r < requests.size(); ++r) {
    std::vector<int> tokens = requests[r].prompt;
    for (const int token : results[r].tokens) {
      const auto logits = slow.Logits(tokens).back();
      EXPECT_EQ(token, std::max_element(logits.begin(), logits.end()) - logits.begin());
      tokens.push_back(token);
    }
    EXPECT_EQ(results[r].tokens.size(), 6u);
    const auto alone = model.Generate(std::span(&requests[r], 1), {.max_new_tokens = 6});
    EXPECT_EQ(alone[0].tokens, results[r].tokens);
    EXPECT_EQ(alone[0].log_probs, results[r].log_probs);  // the same bits, batched or not
  }
}

// A conversation gives the bits of the same prompts without one, computes only what is new, and grows its
// cache.
TEST(Session, GivesTheBitsOfGenerateAndReusesWhatItHolds) {
  ModelConfig config = TinyConfig();
  config.max_position_embeddings = 600;
  NativeModel model(config, RandomWeights(config));
  Session session(model);
  std::vector<int> text = kTokens;
  std::size_t held = 0;
  for (const int added : {3, 1, 40, 200, 2}) {
    const model::GenerateRequest request{text, 5};
    const model::GenerateOptions options{.max_new_tokens = 20, .temperature = 1};
    const auto expected = model.Generate(std::span(&request, 1), options)[0];
    const auto actual = session.Generate(request, options);
    EXPECT_EQ(actual.tokens, expected.tokens);
    EXPECT_EQ(actual.log_probs, expected.log_probs);
    EXPECT_EQ(session.reused(), held);
    held = session.length();
    text.insert(text.end(), actual.tokens.begin(), actual.tokens.end());
    for (int i = 0; i < added; ++i) text.push_back((added + i) % config.vocab_size);
  }
  const model::GenerateRequest other{{kTokens[0], kTokens[1], 9, 9}, 5};  // goes back to the common beginning
  EXPECT_EQ(session.Generate(other, {.max_new_tokens = 4}).tokens,
            model.Generate(std::span(&other, 1), {.max_new_tokens = 4})[0].tokens);
  EXPECT_EQ(session.reused(), 2u);
  const model::GenerateRequest full{std::vector<int>(599, 1), 5};
  EXPECT_EQ(session.Generate(full, {.max_new_tokens = 50}).tokens.size(), 2u);
}

TEST(NativeModel, SamplingDependsOnTheSeedOnlyAndKeepsToTopKAndStops) {
  const ModelConfig config = TinyConfig();
  NativeModel model(config, RandomWeights(config));
  std::vector<model::GenerateRequest> requests(40, {kTokens, 0});
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].seed = i / 2;
  const auto results =
      model.Generate(requests, {.max_new_tokens = 8, .temperature = 1.0, .stop_token_ids = {3}});
  bool differs = false, stopped = false;
  for (std::size_t i = 0; i < requests.size(); i += 2) {
    EXPECT_EQ(results[i].tokens, results[i + 1].tokens);
    differs = differs || results[i].tokens != results[0].tokens;
    stopped = stopped || results[i].stopped;
    EXPECT_EQ(results[i].stopped, results[i].tokens.back() == 3);
  }
  EXPECT_TRUE(differs);
  const auto greedy = model.Generate(std::span(requests).first(1), {.max_new_tokens = 8});
  const auto top1 =
      model.Generate(std::span(requests).first(1), {.max_new_tokens = 8, .temperature = 2.0, .top_k = 1});
  EXPECT_EQ(greedy[0].tokens, top1[0].tokens);
  const auto banned = model.Generate(std::span(requests).first(1),
                                     {.max_new_tokens = 8, .banned_token_ids = {greedy[0].tokens[0]}});
  EXPECT_NE(banned[0].tokens[0], greedy[0].tokens[0]);
}

TEST(NativeModel, RefusesTokensOutsideTheVocabularyAndTooLongTexts) {
  const ModelConfig config = TinyConfig();
  NativeModel model(config, RandomWeights(config));
  EXPECT_THROW(model.Logits(std::vector<int>{40}), Error);
  EXPECT_THROW(model.Logits(std::vector<int>{-1}), Error);
  EXPECT_THROW(model.Logits(std::vector<int>{}), Error);
  EXPECT_THROW(model.Logits(std::vector<int>(129, 1)), Error);
}

TEST(NativeModel, TernaryWeightsGiveTheBitsOfTheirDequantizedValues) {
  const ModelConfig config = TinyConfig();
  ModelWeights weights = RandomWeights(config);
  model::TernaryWeights ternary;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    if (spec.role != model::TensorRole::kAttentionLinear && spec.role != model::TensorRole::kMlpLinear)
      continue;
    Random random(3, spec.name);
    model::TernaryTensor& tensor = ternary[spec.name];
    tensor.shape = spec.shape;
    tensor.group = 64;
    for (std::int64_t i = 0; i < spec.shape[0] * spec.shape[1]; ++i)
      tensor.codes.push_back(static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1));
    for (std::int64_t i = 0; i < spec.shape[0] * spec.shape[1] / 64; ++i)
      tensor.scales.push_back(RoundToHalf(0.25f * static_cast<float>(random.Uniform())));
    weights[spec.name] = model::Dequantize(tensor);
  }
  EXPECT_EQ(NativeModel(config, weights, {}, ternary).Logits(kTokens),
            NativeModel(config, weights).Logits(kTokens));
}

/// A file whose linears are the sum of two ternary planes, and its weights.
ModelWeights SaveTwoPlanes(const ModelConfig& config, const std::filesystem::path& path) {
  ModelWeights weights = RandomWeights(config);
  std::vector<model::GgufTensor> tensors =
      model::GgufTensorsOf(config, weights, io::BlockType::kQ2_0, io::BlockType::kF32);
  std::map<std::string, model::TernaryTensor> planes[2];
  for (model::GgufTensor& tensor : tensors) {
    if (tensor.type != io::BlockType::kQ2_0) continue;
    Random random(3, tensor.name);
    model::Tensor& sum = weights.at(tensor.name);
    std::fill(sum.values.begin(), sum.values.end(), 0.0f);
    for (int p = 0; p < 2; ++p) {
      model::TernaryTensor& plane = planes[p][tensor.name];
      for (std::size_t i = 0; i < sum.values.size(); ++i) {
        if (i % 64 == 0)
          plane.scales.push_back(RoundToHalf((p == 0 ? 0.1f : 0.03f) * static_cast<float>(random.Uniform())));
        plane.codes.push_back(static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1));
        sum.values[i] += static_cast<float>(plane.codes.back()) * plane.scales.back();
      }
    }
    tensor.values = {};
    tensor.codes = planes[0][tensor.name].codes;
    tensor.scales = planes[0][tensor.name].scales;
    tensor.second_codes = planes[1][tensor.name].codes;
    tensor.second_scales = planes[1][tensor.name].scales;
    tensor.group_size = 64;
  }
  model::SaveGguf(path, config, tensors, {}, "tiny");
  return weights;
}

TEST(NativeModel, TwoTernaryPlanesRunWithInt8ActivationsCloseToTheirSumInFloats) {
  const ModelConfig config = TinyConfig("llama");
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "native_two_planes.gguf";
  const ModelWeights weights = SaveTwoPlanes(config, path);
  const auto load = [&](Activations activations) {
    return NativeModel(PackWeights(*model::OpenGguf(path), {.activations = activations}));
  };
  NativeModel fast = load(Activations::kInt8IfTernary), exact = load(Activations::kFloat32);
  EXPECT_EQ(fast.transformer().activations(), Activations::kInt8);
  EXPECT_LT(fast.weight_bytes(), exact.weight_bytes() / 2);  // not held as floats
  const std::vector<float> expected = NativeModel(config, weights).Logits(kTokens),
                           actual = fast.Logits(kTokens);
  EXPECT_EQ(exact.Logits(kTokens), expected);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(expected[i] - actual[i], 2);
    size += std::pow(expected[i], 2);
  }
  // An int8 step is 1/127 of a block's largest value, some 3 sigma: an error of 3 / 127 / sqrt(12) = 0.7 % of
  // an input for each of the linears on the way, of which some ten add up.
  EXPECT_LT(std::sqrt(difference / size), 0.05);
  EXPECT_GT(difference, 0.0);
  std::filesystem::remove(path);
}

TEST(NativeModel, TwoTernaryPlanesRunToTheSameBitsFromAPackedFile) {
  const std::filesystem::path folder = testing::TempDir(), path = folder / "native_planes.gguf",
                              packed = folder / "native_planes.forge";
  SaveTwoPlanes(TinyConfig("llama"), path);
  const PackedWeights weights = PackWeights(
      *model::OpenGguf(path), {.embeddings = WeightType::kInt8, .activations = Activations::kInt8});
  SavePackedFile(packed, weights, {}, "planes");
  NativeModel opened(OpenPackedFile(std::make_shared<const io::SectionFile>(packed)));
  EXPECT_EQ(opened.Logits(kTokens), NativeModel(weights).Logits(kTokens));
  std::filesystem::remove(path);
  std::filesystem::remove(packed);
}

TEST(NativeModel, ShowsAnObserverTheInputsOfTheLinears) {
  ModelConfig config = TinyConfig();
  config.head_dim = 8;  // query_size is not hidden_size
  const ModelWeights weights = RandomWeights(config);
  NativeModel model(config, weights);
  const SlowModel slow(config, weights);
  slow.Logits(kTokens);
  int calls = 0;
  model.ObserveLinearInputs(
      [&](int layer, LinearInput input, const float* rows, std::size_t count, std::size_t width) {
        const char* names[] = {"self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"};
        const auto& expected =
            slow.inputs.at("model.layers." + std::to_string(layer) + "." + names[static_cast<int>(input)]);
        ASSERT_EQ(count, expected.size());
        ASSERT_EQ(width, expected[0].size());
        for (std::size_t i = 0; i < count * width; ++i)
          ASSERT_NEAR(rows[i], expected[i / width][i % width], 2e-5);
        ++calls;
      });
  model.Logits(kTokens);
  EXPECT_EQ(calls, 4 * config.num_hidden_layers);
  model.ObserveLinearInputs({});
  model.Logits(kTokens);
  EXPECT_EQ(calls, 4 * config.num_hidden_layers);
}

// Goldens computed in double by another implementation; ../shared/data/README.md.
class Golden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(NativeModel, Golden, testing::Values("stories260K_llama", "qwen2_tiny_random"));

TEST_P(Golden, LogitsAreWithin2e4OfTheReference) {
  const std::filesystem::path folder = SharedFolder() / "data/golden" / GetParam();
  FORGE_SKIP_WITHOUT_SHARED(std::filesystem::path("data/golden") / GetParam());
  const model::ModelFolder loaded = model::LoadModelFolder(folder);
  NativeModel model(loaded.config, loaded.weights);
  for (const io::Json& golden : io::ReadJsonFile(folder / "cases.json")) {
    const std::vector<int> ids = golden["ids"];
    std::vector<float> expected(golden["shape"][0].get<std::size_t>() *
                                golden["shape"][1].get<std::size_t>());
    std::ifstream(folder / golden["logits_file"].get<std::string>(), std::ios::binary)
        .read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(expected.size() * 4));
    const std::vector<float> logits = model.Logits(ids);
    ASSERT_EQ(logits.size(), expected.size());
    float worst = 0;
    for (std::size_t i = 0; i < logits.size(); ++i)
      worst = std::max(worst, std::abs(logits[i] - expected[i]));
    EXPECT_LE(worst, 2e-4f);
  }
}

TEST(NativeModel, GreedyIdsOfStories260KEqualTheReference) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/greedy_ids.txt");
  const model::ModelFolder loaded = model::LoadModelFolder(SharedFolder() / "data/golden/stories260K_llama");
  NativeModel model(loaded.config, loaded.weights);
  const std::vector<int> prompt{1, 403, 407, 261, 378};
  std::ifstream file(SharedFolder() / "data/golden/greedy_ids.txt");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto results =
      model.Generate(std::vector<model::GenerateRequest>{{prompt, 0}}, {.max_new_tokens = 20});
  std::string ids;
  for (const int token : results[0].tokens) ids += (ids.empty() ? "" : " ") + std::to_string(token);
  EXPECT_NE(text.find(ids), std::string::npos) << ids << "\n" << text.substr(0, 600);
}

}  // namespace
}  // namespace forge::runtime
