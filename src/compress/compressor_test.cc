// SPDX-License-Identifier: Apache-2.0
#include "compress/compressor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "compress/testing_folder.h"
#include "compress/testing_model.h"
#include "io/atomic_file.h"
#include "io/section_file.h"
#include "model/gguf_model.h"
#include "runtime/packed_file.h"

namespace forge::compress {
namespace {

namespace fs = std::filesystem;
using model::ModelConfig;
using model::testing::TinyConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OpinionatedWeights;
using testing::RandomText;
using testing::TeacherBatch;

class Compressor : public ::testing::Test {
 protected:
  Compressor() {
    for (std::uint64_t i = 0; i < 20; ++i) input_.calibration.push_back(RandomText(config_, i));
    input_.weights = source_.get();
    input_.output = folder_.path() / "out" / "model.gguf";
    input_.batch = [this](int step, int micro, int micro_batches) {
      return TeacherBatch(config_, step, micro, micro_batches);
    };
    input_.domains = {"copy", "nats"};
    // Domain 1: share of positions where the model still prefers what it preferred. Domain 2: minus nats of
    // random texts.
    input_.evaluate = [this](model::LanguageModel& model) {
      ++evaluations_;
      Scores scores(2);
      for (std::uint64_t text = 50; text < 90; ++text) {
        const std::vector<int> tokens = RandomText(config_, text);
        const auto logits = model.Logits(tokens);
        std::vector<int> best;
        for (auto row = logits.begin(); row != logits.end(); row += config_.vocab_size)
          best.push_back(static_cast<int>(std::max_element(row, row + config_.vocab_size) - row));
        if (choices_.size() < 40) choices_.push_back(best);
        double agreement = 0;
        for (std::size_t t = 0; t < best.size(); ++t)
          agreement += best[t] == choices_[text - 50][t] ? 1.0 / 12 : 0;
        scores[0].push_back(agreement);
        const std::vector<int> rest(tokens.begin() + 1, tokens.end());
        const model::ScoreRequest request{.prefix = {tokens[0]}, .continuations = {rest}};
        double nats = 0;
        const auto scored = model.Score(std::span(&request, 1));
        for (const float log_prob : scored[0][0]) nats += log_prob / 11;
        scores[1].push_back(nats);
      }
      return scores;
    };
  }
  std::string MessageOf(const CompressConfig& config) {
    try {
      Compress(input_, config, sink_, stop_);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  testing::TestFolder folder_;
  ModelConfig config_ = TinyConfig();
  model::ModelWeights weights_ = OpinionatedWeights(config_);
  std::unique_ptr<model::WeightSource> source_ = model::WeightsInMemory(config_, weights_);
  CompressInput input_;
  std::vector<std::vector<int>> choices_;  // of the model as it was, by text and position
  int evaluations_ = 0;
  NullMetricSink sink_;
  StopToken stop_;
};

TEST_F(Compressor, MeasuresTheFileThatItWrote) {
  const CompressResult result = Compress(input_, {.training_steps = 0}, sink_, stop_);
  // Two layers of q, o (64 x 64), k, v (32 x 64), gate, up, down (64 x 128): 73,728 weights in blocks of 18
  // bytes.
  EXPECT_EQ(result.size.linears, 73728u / 64 * 18);
  EXPECT_EQ(result.size.tables, 40u * 64 / 32 * 34);
  EXPECT_EQ(result.size.vectors, 4u * (5 * 64 + 2 * (64 + 32 + 32)));
  EXPECT_EQ(result.size.total, fs::file_size(input_.output));
  EXPECT_EQ(result.size.linears + result.size.tables + result.size.vectors + result.size.metadata,
            result.size.total);
  EXPECT_EQ(result.size.linear_bits_per_weight, 2.25);
  EXPECT_GT(result.float16_bytes, 2u * static_cast<unsigned>(model::CountParameters(config_)));
  EXPECT_LT(result.float16_bytes, 2u * static_cast<unsigned>(model::CountParameters(config_)) + 8000);
  EXPECT_DOUBLE_EQ(result.ratio,
                   static_cast<double>(result.float16_bytes) / static_cast<double>(result.size.total));
  ASSERT_EQ(result.baselines.size(), 3u);
  EXPECT_EQ(result.baselines[0].baseline.name, "Q8_0");
  EXPECT_EQ(result.baselines[0].baseline.size.linear_bits_per_weight, 8.5);
  EXPECT_EQ(result.baselines[1].baseline.name, "Q4_0");
  EXPECT_EQ(result.baselines[1].baseline.size.linear_bits_per_weight, 4.5);
  EXPECT_EQ(result.baselines[2].baseline.name, "Q5_0");  // rows of 64 and 128 fill no block of Q4_K
  EXPECT_EQ(result.baselines[2].baseline.size.linear_bits_per_weight, 5.5);
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) files += entry.is_regular_file();
  EXPECT_EQ(files, 1);  // nothing is left of what was only measured
}

TEST_F(Compressor, ComparesTheScoresOfTheFileAndOfTheBaselines) {
  const CompressResult result = Compress(input_, {.training_steps = 0}, sink_, stop_);
  EXPECT_EQ(evaluations_, 5);
  ASSERT_TRUE(result.retention);
  EXPECT_EQ(result.retention->domains[0].domain, "copy");
  EXPECT_NEAR(result.retention->domains[0].before, 1, 1e-9);
  EXPECT_LT(result.retention->domains[0].after, 1);
  EXPECT_GT(result.baselines[0].retention->domains[0].after, result.retention->domains[0].after);
  EXPECT_GE(result.baselines[0].retention->domains[0].after, result.baselines[1].retention->domains[0].after);
}

TEST_F(Compressor, TrainingKeepsMoreAndTheSameSeedGivesTheSameBytes) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const CompressConfig config{.training_steps = 100, .calibration_samples = 10};
  const double rounded = Compress(input_, {.training_steps = 0, .calibration_samples = 10}, sink_, stop_)
                             .retention->domains[0]
                             .after;
  const CompressResult result = Compress(input_, config, sink_, stop_);
  EXPECT_GT(result.retention->domains[0].after, rounded + 0.03);
  const std::string bytes = io::ReadFile(input_.output);
  Compress(input_, config, sink_, stop_);
  EXPECT_EQ(io::ReadFile(input_.output), bytes);
}

TEST_F(Compressor, TrainingStartsAtTheModelOfFeedbackIfAsked) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const auto divergence = [&](CompressConfig config) {
    return Compress(input_, config, sink_, stop_).divergence.mean;
  };
  const double untrained = divergence({.training_steps = 0});
  EXPECT_NEAR(divergence({.training_steps = 1, .training_start = "feedback", .learning_rate = 1e-6}),
              untrained, 1e-3);
  EXPECT_LT(divergence({.training_steps = 60, .training_start = "feedback"}), untrained - 0.05);
  EXPECT_THAT(MessageOf({.training_steps = 1, .relation_share = 1, .relation_layer = 2}),
              HasSubstr("cannot learn relations in layer 2"));
}

TEST_F(Compressor, WritesOtherFormsAndMeasuresThemByThemselves) {
  const CompressResult result =
      Compress(input_, {.also_export = {"f16", "hf-bitnet"}, .training_steps = 0}, sink_, stop_);
  ASSERT_EQ(result.exports.size(), 2u);
  const auto file = model::OpenGguf(input_.output), float16 = model::OpenGguf(result.exports[0].path);
  const auto folder = model::OpenModelFolder(result.exports[1].path);
  for (const model::TensorSpec& spec : model::ListTensors(config_)) {
    if (!model::IsLinear(spec)) continue;
    EXPECT_EQ(float16->Read(spec), file->Read(spec)) << spec.name;
    const std::vector<float> ours = file->Read(spec).values, theirs = folder->Read(spec).values;
    std::set<float> magnitudes;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i] > 0, theirs[i] > 0);
      EXPECT_EQ(ours[i] < 0, theirs[i] < 0);
      if (theirs[i] != 0) magnitudes.insert(std::abs(theirs[i]));
    }
    EXPECT_EQ(magnitudes.size(), 1u);
    double sum = 0, count = 0;
    for (const float value : ours) sum += std::abs(value), count += value != 0;
    EXPECT_NEAR(*magnitudes.begin(), sum / count, 0.005 * sum / count);  // 8 bits of a bfloat16
  }
  EXPECT_EQ(result.exports[0].bytes, fs::file_size(result.exports[0].path));
  EXPECT_NE(result.exports[1].retention->domains[1].after, result.retention->domains[1].after);
  EXPECT_THAT(MessageOf({.also_export = {"onnx"}, .training_steps = 0}),
              HasSubstr("f16, hf-bitnet and packed"));
}

TEST_F(Compressor, PacksTheFileAndMeasuresItWithItsOwnActivations) {
  const CompressResult result =
      Compress(input_, {.also_export = {"packed"}, .training_steps = 0}, sink_, stop_);
  ASSERT_EQ(result.exports.size(), 1u);
  EXPECT_EQ(result.exports[0].path.filename(), "model.forge");
  EXPECT_EQ(result.exports[0].bytes, fs::file_size(result.exports[0].path));
  runtime::NativeModel packed(
      runtime::OpenPackedFile(std::make_shared<const io::SectionFile>(result.exports[0].path)));
  runtime::NativeModel file(
      runtime::PackWeights(*model::OpenGguf(input_.output), {.activations = runtime::Activations::kInt8}));
  EXPECT_EQ(packed.Logits(std::vector<int>{1, 2, 3}), file.Logits(std::vector<int>{1, 2, 3}));
  EXPECT_NE(result.exports[0].retention->domains[1].after, result.retention->domains[1].after);
  for (const char* tier : {"mixed", "auto"})
    EXPECT_THAT(MessageOf({.also_export = {"packed"}, .training_steps = 0, .tier = tier}),
                HasSubstr("that tier has others too"));
  EXPECT_EQ(Compress(input_, {.also_export = {"packed"}, .training_steps = 0, .tier = "dual"}, sink_, stop_)
                .exports.size(),
            1u);
  EXPECT_THAT(MessageOf({.embedding_type = "f16", .also_export = {"packed"}, .training_steps = 0}),
              HasSubstr("embeddings of 8 or 4 bits"));
}

TEST_F(Compressor, StoresTheEmbeddingAsAskedAndRefusesAWidthThatATypeCannotHold) {
  const model::TensorSpec spec = model::ListTensors(config_).front();
  for (const auto& [word, type] :
       {std::pair{"f16", "F16"}, std::pair{"q8_0", "Q8_0"}, std::pair{"q5_1", "Q5_1"},
        std::pair{"q5_0", "Q5_0"}, std::pair{"q4_1", "Q4_1"}, std::pair{"q4_0", "Q4_0"}}) {
    const CompressResult result =
        Compress(input_, {.embedding_type = word, .training_steps = 0}, sink_, stop_);
    EXPECT_EQ(result.size.table_types.at(spec.name), type);
    const auto file = model::OpenGguf(input_.output);
    EXPECT_EQ(file->StoredType(spec), type);
    std::vector<float> rounded_once = weights_.at(spec.name).values;
    RoundTable(rounded_once, config_.hidden_size, *io::FindBlockType(type));
    EXPECT_EQ(file->Read(spec).values, rounded_once) << word;
  }
  model::ModelConfig wide = config_;
  EXPECT_EQ(PlanStorage({.embedding_type = "q4_0"}, wide).tables, io::BlockType::kQ4_0);
  wide.hidden_size = wide.intermediate_size = 256;
  EXPECT_EQ(PlanStorage({.embedding_type = "q6_k"}, wide).tables, io::BlockType::kQ6_K);
  EXPECT_THAT(MessageOf({.embedding_type = "q6_k", .training_steps = 0}),
              HasSubstr("64 columns do not fill blocks of 256"));
  EXPECT_THAT(MessageOf({.embedding_type = "q6_k", .training_steps = 0}),
              HasSubstr("--embedding-type f16 or q8_0 or q5_1 or q5_0 or q4_1 or q4_0"));
}

TEST_F(Compressor, LinearsAreCalibratedBehindTheEmbeddingAsItIsStored) {
  model::ModelWeights rounded = weights_;
  RoundTable(rounded.at("model.embed_tokens.weight").values, config_.hidden_size, io::BlockType::kQ4_0);
  const auto source = model::WeightsInMemory(config_, rounded);
  const UntrainedOptions options{.tables = io::BlockType::kQ4_0, .quantiser = &FindQuantiser("weighted")};
  const auto compress = [&](const model::WeightSource& weights, const UntrainedOptions& with) {
    const auto texts = std::span(input_.calibration);
    return CompressUntrained(weights, texts.first(16), texts.last(4), with, sink_, stop_).model;
  };
  const CompressedModel made = compress(*source_, options), same = compress(*source, options),
                        other = compress(*source_, {.quantiser = options.quantiser});
  bool differs = false;
  for (const auto& [name, linear] : made.ternary) {
    EXPECT_EQ(linear.codes, same.ternary.at(name).codes) << name;
    EXPECT_EQ(linear.scales, same.ternary.at(name).scales) << name;
    differs = differs || linear.scales != other.ternary.at(name).scales;
  }
  EXPECT_TRUE(differs);
}

TEST_F(Compressor, TriesTiersUntilOnePasses) {
  const CompressResult dual = Compress(input_, {.training_steps = 0, .tier = "dual"}, sink_, stop_);
  EXPECT_EQ(dual.size.linear_bits_per_weight, 4.5);
  const CompressResult strict = Compress(input_, {.training_steps = 0}, sink_, stop_);
  EXPECT_LT(strict.retention->domains[0].after, dual.retention->domains[0].after);
  EXPECT_GT(strict.divergence.mean, dual.divergence.mean);
  const double wanted = (strict.retention->worst() + dual.retention->worst()) / 2;
  const CompressResult result =
      Compress(input_, {.training_steps = 0, .tier = "auto", .bits_per_weight = 2.3, .min_retention = wanted},
               sink_, stop_);
  EXPECT_EQ(result.tier, Tier::kDual);
  EXPECT_TRUE(result.passed);
  EXPECT_EQ(result.stored_as.front(), "2 planes");
}

TEST_F(Compressor, RefusesSettingsThatWouldHaveNoEffect) {
  EXPECT_THAT(MessageOf({.granularity = "row",
                         .method = "nearest",
                         .quantiser = "twn",
                         .compare_quantisers = true,
                         .tier = "mixed",
                         .bits_per_weight = 3}),
              HasSubstr("cannot use --tier, --quantiser, --method, --granularity, --compare-quantisers, "
                        "--bits-per-weight with training"));
  EXPECT_THAT(MessageOf({.training_steps = 0, .bits_per_weight = 3}),
              HasSubstr("cannot use --bits-per-weight with --tier strict"));
  EXPECT_THAT(MessageOf({.embedding_type = "auto", .training_steps = 0, .tier = "dual", .max_file_mb = 1}),
              HasSubstr("cannot use --max-file-mb, --embedding-type auto with --tier dual"));
  EXPECT_THAT(MessageOf({.training_steps = 0, .tier = "auto", .max_file_mb = 1}),
              HasSubstr("cannot use --max-file-mb with --tier auto"));
  EXPECT_THAT(MessageOf({.embedding_type = "auto", .max_file_mb = 1}),
              HasSubstr("cannot use --max-file-mb, --embedding-type auto with training"));
  EXPECT_THAT(MessageOf({.embedding_type = "auto", .training_steps = 0, .tier = "mixed"}),
              HasSubstr("cannot use --embedding-type auto without --max-file-mb"));
  EXPECT_THAT(MessageOf({.granularity = "row", .training_steps = 0, .tier = "dual"}),
              HasSubstr("cannot use --granularity with --tier dual"));
  EXPECT_THAT(MessageOf({.training_steps = 0,
                         .training_start = "feedback",
                         .distillation_temperature = 2,
                         .int8_activations = true,
                         .relation_share = 1,
                         .precision = "bf16",
                         .max_memory_gb = 3}),
              HasSubstr("cannot use --training-start, --distillation-temperature, --int8-activations, "
                        "--relation-share, --precision, --max-memory-gb without training"));
  EXPECT_THAT(MessageOf({.relation_layer = 1}), HasSubstr("--relation-layer without --relation-share"));
  EXPECT_THAT(
      MessageOf(
          {.training_minutes = 1, .distillation_temperature = 2, .teacher_top_k = 8, .relation_share = 1}),
      HasSubstr("cannot use --training-minutes, --distillation-temperature, --relation-share with "
                "--teacher-top-k"));
  EXPECT_EQ(evaluations_, 0);
}

TEST_F(Compressor, CoarserGranularityRepeatsItsScale) {
  double errors[3] = {};
  for (const char* granularity : {"group", "row", "tensor"}) {
    const CompressResult result =
        Compress(input_, {.granularity = granularity, .training_steps = 0}, sink_, stop_);
    const std::unique_ptr<model::WeightSource> file = model::OpenGguf(input_.output);
    std::size_t scales = 0, of_one_row = 0;
    for (const model::TensorSpec& spec : model::ListTensors(config_)) {
      if (spec.name != "model.layers.1.mlp.down_proj.weight") continue;
      const model::TernaryTensor tensor = file->ReadTernary(spec);
      std::set<float> all(tensor.scales.begin(), tensor.scales.end());
      all.erase(0);  // of groups without a weight
      scales = all.size();
      std::set<float> first(tensor.scales.begin(), tensor.scales.begin() + 2);
      first.erase(0);
      of_one_row = first.size();
    }
    const std::string name = granularity;
    EXPECT_EQ(of_one_row, name == "group" ? 2u : 1u);
    if (name == "tensor")
      EXPECT_EQ(scales, 1u);
    else
      EXPECT_GT(scales, 32u);
    double& error = errors[name == "group" ? 0 : name == "row" ? 1 : 2];
    for (const LinearReport& linear : result.linears) error += linear.nearest_error;
  }
  EXPECT_LT(errors[0], errors[1]);
  EXPECT_LT(errors[1], errors[2]);
}

TEST_F(Compressor, MixedTierStaysWithinItsBits) {
  const CompressResult result =
      Compress(input_, {.training_steps = 0, .tier = "mixed", .bits_per_weight = 4}, sink_, stop_);
  EXPECT_LE(result.size.linear_bits_per_weight, 4);
  EXPECT_GT(result.size.linear_bits_per_weight, 2.8);
  const CompressResult strict = Compress(input_, {.training_steps = 0}, sink_, stop_);
  EXPECT_LT(result.divergence.mean, strict.divergence.mean);
  EXPECT_EQ(result.stored_as.size(), 14u);
}

TEST_F(Compressor, MixedTierStaysWithinTheBytesOfTheFile) {
  const std::uint64_t strict = Compress(input_, {.training_steps = 0}, sink_, stop_).size.total;
  for (const double more : {2000., 12000., 40000.})
    for (const char* word : {"q8_0", "auto"}) {
      const double most = static_cast<double>(strict) + more;
      const CompressResult result = Compress(
          input_, {.embedding_type = word, .training_steps = 0, .tier = "mixed", .max_file_mb = most / 1e6},
          sink_, stop_);
      EXPECT_LE(static_cast<double>(fs::file_size(input_.output)), most);
      // The smallest step is that of o_proj (64 x 64) from ternary to Q4_0, 1152 bytes.
      if (more < 40000) {
        EXPECT_GT(static_cast<double>(result.size.total), most - 3000) << word << ' ' << more;
      }
      if (std::string(word) == "q8_0") {
        EXPECT_EQ(result.size.table_types.begin()->second, "Q8_0");
      }
    }
}

TEST_F(Compressor, BothLimitsOfTierMixedHold) {
  const CompressResult result = Compress(input_,
                                         {.embedding_type = "auto",
                                          .training_steps = 0,
                                          .tier = "mixed",
                                          .bits_per_weight = 3,
                                          .max_file_mb = 1},
                                         sink_, stop_);
  EXPECT_LE(result.size.linear_bits_per_weight, 3);
  EXPECT_EQ(result.size.table_types.begin()->second, "F16");  // there is room for any
}

TEST_F(Compressor, NamesTheSmallestFileThatItCanMake) {
  for (const char* word : {"f16", "auto"}) {
    const std::string message =
        MessageOf({.embedding_type = word, .training_steps = 0, .tier = "mixed", .max_file_mb = 0.01});
    EXPECT_THAT(message, HasSubstr("cannot make a file of 10000 bytes"));
    EXPECT_EQ(evaluations_, 0);
    EXPECT_FALSE(fs::exists(input_.output));
    const std::uint64_t smallest = std::stoull(message.substr(message.find("the smallest has ") + 17));
    const double more = std::stod(message.substr(message.find("--max-file-mb ") + 14));
    EXPECT_GE(more * 1e6, static_cast<double>(smallest));
    EXPECT_LT(more * 1e6, static_cast<double>(smallest) + 10001);
    EXPECT_EQ(message.find("or --embedding-type auto") == std::string::npos, std::string(word) == "auto");
    const CompressConfig config{.embedding_type = word,
                                .training_steps = 0,
                                .tier = "mixed",
                                .max_file_mb = static_cast<double>(smallest) / 1e6};
    const std::uint64_t made = Compress(input_, config, sink_, stop_).size.total;
    EXPECT_LE(made, smallest);
    EXPECT_GE(made + 32, smallest);  // Q2_0 has no general.file_type
    fs::remove(input_.output);
    evaluations_ = 0;
  }
  EXPECT_THAT(MessageOf({.training_steps = 0, .tier = "mixed", .bits_per_weight = 2}),
              HasSubstr("give --bits-per-weight 2.25 or more"));
  EXPECT_EQ(evaluations_, 0);
}

TEST_F(Compressor, FailsTheGateWhenADomainKeepsLess) {
  EXPECT_FALSE(Compress(input_, {.training_steps = 0, .min_retention = 0.999}, sink_, stop_).passed);
  EXPECT_TRUE(fs::exists(input_.output));
  EXPECT_TRUE(Compress(input_, {.training_steps = 0, .min_retention = 0.01}, sink_, stop_).passed);
}

TEST_F(Compressor, FailsTheGateWhenPerplexityGrowsMore) {
  const Retention kept = *Compress(input_, {.training_steps = 0}, sink_, stop_).retention;
  const double ratio = std::exp(kept.domains[1].before - kept.domains[1].after);  // the domain in nats
  EXPECT_FALSE(Compress(input_, {.training_steps = 0, .max_ppl_ratio = ratio * 0.999}, sink_, stop_).passed);
  EXPECT_TRUE(Compress(input_, {.training_steps = 0, .max_ppl_ratio = ratio * 1.001}, sink_, stop_).passed);
}

TEST_F(Compressor, RefusesSettingsThatDoNotFitBeforeItWorks) {
  EXPECT_THAT(MessageOf({.group_size = 64, .export_type = "tq2_0"}),
              HasSubstr("groups of 64 weights cannot be stored as TQ2_0"));
  EXPECT_THAT(MessageOf({.group_size = 100}), HasSubstr("groups of 100"));
  EXPECT_THAT(MessageOf({.export_type = "tq2_0"}),
              HasSubstr("model.layers.0.self_attn.q_proj.weight has rows of 64"));
  input_.batch = {};
  EXPECT_THAT(MessageOf({}), HasSubstr("no training data"));
  input_.calibration = {};
  EXPECT_THAT(MessageOf({.training_steps = 0}), HasSubstr("no calibration text"));
  EXPECT_EQ(evaluations_, 0);
  EXPECT_FALSE(fs::exists(input_.output));
}

TEST_F(Compressor, OneTextIsEnoughToTrainAndSaysWhatIsMissingWithout) {
  input_.calibration.resize(1);
  EXPECT_THAT(MessageOf({.training_steps = 0}), HasSubstr("there is no text to hold out"));
  FORGE_SKIP_WITHOUT_ENGINE();
  EXPECT_EQ(Compress(input_, {.training_steps = 2}, sink_, stop_).divergence.positions, 0);
}

TEST_F(Compressor, StopsBeforeItWritesAnything) {
  stop_.RequestStop();
  EXPECT_THAT(MessageOf({.training_steps = 0}), HasSubstr("stopped on request"));
  EXPECT_EQ(evaluations_, 0);
  EXPECT_FALSE(fs::exists(input_.output));
}

}  // namespace
}  // namespace forge::compress
