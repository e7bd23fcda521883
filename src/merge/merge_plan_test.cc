// SPDX-License-Identifier: Apache-2.0
#include "merge/merge_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "merge/testing_sources.h"

namespace forge::merge {
namespace {

using io::FloatType;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::EmptySource;
using testing::FourLayers;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A merge and its models: four layers in float32 each, unless a test changes one.
class Merge {
 public:
  explicit Merge(const std::string& yaml) : config_(ParseMergeConfigs(yaml, "x.yml").at(0)) {
    for (const std::string& name : ModelsOf(config_)) Set(name, FourLayers());
  }

  Merge& Set(const std::string& name, const model::ModelConfig& config, const std::string& type = "F32") {
    sources_[name] = std::make_unique<EmptySource>(config, type);
    return *this;
  }

  MergePlan Plan(bool as_mergekit = false) const {
    std::vector<const model::WeightSource*> models;
    for (const std::string& name : ModelsOf(config_)) models.push_back(sources_.at(name).get());
    return MakePlan(config_, models, {.mergekit_numerics = as_mergekit});
  }

  std::string Error(bool as_mergekit = false) const {
    return testing::ErrorOf([&] { Plan(as_mergekit); });
  }

 private:
  MergeConfig config_;
  std::map<std::string, std::unique_ptr<EmptySource>> sources_;
};

const TensorTask& Find(const MergePlan& plan, const std::string& name) {
  for (const TensorTask& task : plan.tensors)
    if (task.name == name) return task;
  throw std::out_of_range(name);
}

std::string Layer(int layer, const std::string& tensor) {
  return "model.layers." + std::to_string(layer) + "." + tensor;
}

const std::string kUp = "mlp.up_proj.weight";

TEST(MergePlan, HasEveryTensorOfTheResultInTheOrderOfTheForwardPass) {
  const MergePlan plan = Merge(R"(
merge_method: ties
base_model: base
models: [{model: a}, {model: b}]
parameters: {weight: 1}
)")
                             .Plan();
  EXPECT_THAT(plan.models, ElementsAre("a", "b", "base"));
  EXPECT_EQ(plan.config_model, 2);
  EXPECT_EQ(plan.config, FourLayers());
  EXPECT_THAT(plan.notes, IsEmpty());
  const std::vector<model::TensorSpec> specs = model::ListTensors(FourLayers());
  ASSERT_EQ(plan.tensors.size(), specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const TensorTask& task = plan.tensors[i];
    EXPECT_EQ(task.name, specs[i].name);
    EXPECT_EQ(task.shape, specs[i].shape);
    EXPECT_EQ(task.layer, specs[i].layer);
    EXPECT_EQ(task.method, FindMethod("ties"));
    EXPECT_EQ(task.base, 2);
    ASSERT_EQ(task.sources.size(), 3u);
    EXPECT_EQ(task.sources[1].model, 1);
    EXPECT_EQ(task.sources[1].tensor, specs[i].name);
    EXPECT_EQ(task.parameters.Get("weight", 0), 1);
    EXPECT_EQ(task.parameters.Get("density", 1), 1);
    EXPECT_EQ(task.parameters.Get("normalize"), 1);
    EXPECT_TRUE(task.parameters.of_source[2].empty());
  }
}

TEST(MergePlan, TakesGradientsAlongTheLayersAndAtZeroOutsideThem) {
  const MergePlan plan =
      Merge(
          "merge_method: linear\nmodels: [{model: a, parameters: {weight: [1, 2, 4]}}, {model: b}]\n"
          "parameters: {weight: [8, 2]}")
          .Plan();
  const auto weights = [&](const std::string& tensor, std::size_t source) {
    return Find(plan, tensor).parameters.Get("weight", source);
  };
  EXPECT_EQ(weights("model.embed_tokens.weight", 0), 1);
  EXPECT_EQ(weights("model.norm.weight", 0), 1);
  EXPECT_EQ(weights("lm_head.weight", 1), 8);
  EXPECT_EQ(weights(Layer(0, kUp), 0), 1);
  EXPECT_DOUBLE_EQ(weights(Layer(1, kUp), 0), 1 + 2.0 / 3);
  EXPECT_DOUBLE_EQ(weights(Layer(1, kUp), 1), 6);
  EXPECT_EQ(weights(Layer(3, kUp), 0), 4);
  EXPECT_EQ(weights(Layer(3, kUp), 1), 2);
}

TEST(MergePlan, PrefersTheModelThenTheSliceThenTheModuleThenTheMerge) {
  const MergePlan plan = Merge(R"(
merge_method: linear
modules:
  m:
    slices:
      - sources:
          - {model: a, layer_range: [0, 4], parameters: {weight: {filter: q_proj, value: 1}}}
          - {model: b, layer_range: [0, 4]}
        parameters: {weight: {filter: _proj, value: 2}}
    parameters: {weight: {filter: layers, value: 3}}
parameters: {weight: 4}
)")
                             .Plan();
  const auto weights = [&](const std::string& tensor, std::size_t source) {
    return Find(plan, tensor).parameters.Get("weight", source);
  };
  EXPECT_EQ(weights(Layer(1, "self_attn.q_proj.weight"), 0), 1);
  EXPECT_EQ(weights(Layer(1, "self_attn.q_proj.weight"), 1), 2);
  EXPECT_EQ(weights(Layer(1, kUp), 0), 2);
  EXPECT_EQ(weights(Layer(1, "input_layernorm.weight"), 0), 3);
  EXPECT_EQ(weights("model.norm.weight", 0), 4);
}

// Layer 0 of the result is layer 2 of b: a filter on layer 2 concerns b's own parameters, one on layer 0 the
// shared ones.
TEST(MergePlan, LooksUpModelsByTheirTensorAndTheMergeByThatOfTheResult) {
  const MergePlan plan = Merge(R"(
merge_method: slerp
base_model: a
slices:
  - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [2, 4]}]
parameters: {t: [{filter: layers.0., value: 0.1}, {filter: layers.2., value: 0.2}, {value: 0.3}]}
)")
                             .Plan();
  EXPECT_EQ(Find(plan, Layer(0, kUp)).sources[1].tensor, Layer(2, kUp));
  EXPECT_EQ(Find(plan, Layer(0, kUp)).parameters.Get("t"), 0.1);
  const MergePlan own = Merge(R"(
merge_method: linear
slices:
  - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [2, 4]}]
parameters: {weight: [{filter: layers.0., value: 1}, {filter: layers.2., value: 2}, {value: 3}]}
)")
                            .Plan();
  EXPECT_EQ(Find(own, Layer(0, kUp)).parameters.Get("weight", 0), 1);
  EXPECT_EQ(Find(own, Layer(0, kUp)).parameters.Get("weight", 1), 2);
}

TEST(MergePlan, StacksSlices) {
  const MergePlan plan = Merge(R"(
merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 3]}]
  - sources: [{model: b, layer_range: [1, 4]}]
    parameters: {scale: [1, 2, 3]}
  - sources: [{model: a, layer_range: [3, 4]}]
    parameters: {scale: [5, 6]}
)")
                             .Plan();
  EXPECT_EQ(plan.config.num_hidden_layers, 7);
  EXPECT_EQ(plan.config_model, 0);
  EXPECT_EQ(plan.tensors.size(), 7u * 9 + 3);
  const auto source = [&](const std::string& name) { return Find(plan, name).sources.at(0); };
  EXPECT_EQ(source(Layer(2, kUp)).tensor, Layer(2, kUp));
  EXPECT_EQ(source(Layer(3, kUp)).model, 1);
  EXPECT_EQ(source(Layer(3, kUp)).tensor, Layer(1, kUp));
  EXPECT_EQ(source(Layer(6, kUp)).model, 0);
  EXPECT_EQ(source(Layer(6, kUp)).tensor, Layer(3, kUp));
  EXPECT_EQ(Find(plan, Layer(2, kUp)).parameters.Get("scale", 0), 1);
  EXPECT_EQ(Find(plan, Layer(4, kUp)).parameters.Get("scale", 0), 2);
  EXPECT_EQ(Find(plan, Layer(6, kUp)).parameters.Get("scale", 0), 6) << "one layer is the end of a gradient";
  EXPECT_EQ(Find(plan, "model.embed_tokens.weight").parameters.Get("scale", 0), 1);
  EXPECT_EQ(Find(plan, "lm_head.weight").parameters.Get("scale", 0), 5);
}

TEST(MergePlan, MakesNormAndHeadOfAllSourcesOfTheLastSliceUnlikeMergekit) {
  const Merge merge(R"(
merge_method: linear
slices:
  - sources: [{model: a, layer_range: [0, 2]}]
  - sources: [{model: b, layer_range: [2, 3]}, {model: a, layer_range: [2, 3]}]
parameters: {weight: 1}
)");
  EXPECT_EQ(Find(merge.Plan(), "model.norm.weight").sources.size(), 2u);
  EXPECT_THAT(merge.Plan().notes, IsEmpty());
  const MergePlan plan = merge.Plan(true);
  EXPECT_EQ(Find(plan, "lm_head.weight").sources.size(), 1u);
  EXPECT_EQ(Find(plan, "lm_head.weight").sources[0].model, 1);
  EXPECT_EQ(Find(plan, Layer(2, kUp)).sources.size(), 2u);
  EXPECT_EQ(Find(plan, "model.embed_tokens.weight").sources[0].model, 0);
  EXPECT_THAT(plan.notes,
              ElementsAre(HasSubstr("final norm and head are made of the first 1 of the 2 sources")));
}

TEST(MergePlan, RefusesATailThatLosesItsBase) {
  const Merge merge(R"(
merge_method: nuslerp
slices:
  - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]
  - base_model: c
    sources: [{model: a, layer_range: [2, 3]}, {model: b, layer_range: [2, 3]}, {model: c, layer_range: [2, 3]}]
parameters: {weight: 1}
)");
  EXPECT_EQ(merge.Error(), "no error");
  EXPECT_THAT(merge.Error(true),
              HasSubstr("final norm and head, which mergekit makes of the first 2 of slices[1]: "
                        "the base c is not among the sources"));
}

TEST(MergePlan, TakesTheBaseOfASliceBeforeThatOfTheMerge) {
  const MergePlan plan = Merge(R"(
merge_method: task_arithmetic
base_model: a
slices:
  - sources: [{model: a, layer_range: [0, 1]}, {model: b, layer_range: [0, 1]}]
  - base_model: b
    sources: [{model: a, layer_range: [1, 2]}, {model: b, layer_range: [1, 2]}]
parameters: {weight: 1}
)")
                             .Plan();
  EXPECT_EQ(Find(plan, Layer(0, kUp)).base, 0);
  EXPECT_EQ(Find(plan, Layer(1, kUp)).base, 1);
  EXPECT_EQ(Find(plan, "model.norm.weight").base, 1);
}

TEST(MergePlan, GivesABaseNoRoleWhereTheMethodHasNone) {
  const MergePlan plan = Merge("merge_method: karcher\nbase_model: c\nmodels: [{model: a}]").Plan();
  EXPECT_EQ(plan.tensors[0].base, -1);
  EXPECT_EQ(plan.tensors[0].sources.size(), 2u);
  EXPECT_EQ(plan.config_model, 1);
  const std::string multislerp =
      "merge_method: multislerp\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n";
  EXPECT_EQ(Merge(multislerp).Plan().tensors[0].base, -1);
  EXPECT_EQ(Merge(multislerp + "base_model: b").Plan().tensors[0].base, 1);
}

TEST(MergePlan, ComputesInTheTypeThatTorchPromotesTo) {
  const std::string yaml =
      "merge_method: linear\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n";
  const auto types = [&](const std::string& a, const std::string& b, const std::string& more = "") {
    Merge merge(yaml + more);
    const TensorTask task = merge.Set("a", FourLayers(), a).Set("b", FourLayers(), b).Plan().tensors[0];
    return std::pair(task.work_type, task.out_type);
  };
  using Types = std::pair<FloatType, FloatType>;
  EXPECT_EQ(types("BF16", "BF16"), Types(FloatType::kBF16, FloatType::kBF16));
  EXPECT_EQ(types("F16", "F16"), Types(FloatType::kF16, FloatType::kF16));
  EXPECT_EQ(types("BF16", "F16"), Types(FloatType::kF32, FloatType::kF32));
  EXPECT_EQ(types("BF16", "F32"), Types(FloatType::kF32, FloatType::kF32));
  EXPECT_EQ(types("F64", "F64"), Types(FloatType::kF32, FloatType::kF32));
  EXPECT_EQ(types("Q4_K", "Q4_K"), Types(FloatType::kF32, FloatType::kF32));
  EXPECT_EQ(types("F32", "F32", "dtype: bfloat16"), Types(FloatType::kBF16, FloatType::kBF16));
  EXPECT_EQ(types("BF16", "BF16", "out_dtype: float16"), Types(FloatType::kBF16, FloatType::kF16));
  EXPECT_EQ(types("BF16", "BF16", "dtype: float32\nout_dtype: bfloat16"),
            Types(FloatType::kF32, FloatType::kBF16));
}

TEST(MergePlan, WidensArceeFusionAndRamPlusOnlyAsMergekit) {
  const std::string rest = "\nbase_model: b\nmodels: [{model: a}]\ndtype: bfloat16\n";
  for (const std::string method : {"arcee_fusion", "ramplus_tl"}) {
    const Merge merge("merge_method: " + method + rest);
    EXPECT_EQ(merge.Plan().tensors[0].out_type, FloatType::kBF16);
    EXPECT_EQ(merge.Plan(true).tensors[0].out_type, FloatType::kF32);
    EXPECT_EQ(merge.Plan(true).tensors[0].work_type, FloatType::kBF16);
    EXPECT_EQ(Merge("merge_method: " + method + rest + "out_dtype: float16").Plan(true).tensors[0].out_type,
              FloatType::kF16);
  }
  EXPECT_EQ(Merge("merge_method: ram" + rest).Plan(true).tensors[0].out_type, FloatType::kBF16);
}

TEST(MergePlan, NamesEachMissingParameterWithATensorAndAFix) {
  const std::string error = Merge(R"(
merge_method: linear
base_model: c
models:
  - {model: a, parameters: {weight: {filter: mlp, value: 1}}}
  - {model: b, parameters: {weight: 1}}
)")
                                .Error();
  EXPECT_THAT(error,
              AllOf(HasSubstr("there is no weight of a for model.embed_tokens.weight (and 26 more tensors)"),
                    HasSubstr("there is no weight of c for model.embed_tokens.weight (and 38 more tensors)"),
                    Not(HasSubstr("of b")),
                    HasSubstr("fix: add \"weight:\" to the parameters of models[0] (a); "
                              "add \"weight:\" to the parameters of the merge")));
  EXPECT_THAT(Merge("merge_method: slerp\nbase_model: a\nmodels: [{model: b}]").Error(),
              AllOf(HasSubstr("there is no t for model.embed_tokens.weight"),
                    HasSubstr("add \"t:\" to the parameters of the merge")));
}

TEST(MergePlan, RefusesTooFewAndTooManyModels) {
  const auto error = [](const std::string& method, const std::string& models, const std::string& more = "") {
    return Merge("merge_method: " + method + "\nmodels: [" + models + "]\n" + more).Error();
  };
  EXPECT_THAT(error("slerp", "{model: a}, {model: b}, {model: c}", "base_model: a\nparameters: {t: 1}"),
              HasSubstr("models: slerp takes exactly 1 beside the base, and there are 2"));
  EXPECT_THAT(error("nuslerp", "{model: a}, {model: b}, {model: c}", "parameters: {weight: 1}"),
              HasSubstr("models: nuslerp takes exactly 2, and there are 3"));
  EXPECT_THAT(error("model_stock", "{model: a}, {model: b}", "base_model: a"),
              HasSubstr("model_stock takes at least 2 beside the base, and there is 1"));
  EXPECT_THAT(
      error("passthrough", "{model: a}", "base_model: b"),
      HasSubstr("passthrough takes exactly 1, and there are 2 with base_model b, which is one more model"));
  EXPECT_THAT(error("ties", "{model: a}", "base_model: a"),
              HasSubstr("ties takes at least 1 beside the base"));
  EXPECT_THAT(error("ties", "{model: a}"),
              HasSubstr("models: ties needs a base; add base_model to the merge"));
}

TEST(MergePlan, NamesEverythingThatIsWrongWithSlices) {
  const std::string error = Merge(R"(
merge_method: ties
base_model: base
slices:
  - sources: [{model: a, layer_range: [0, 5]}, {model: base, layer_range: [0, 4]}]
  - sources: [{model: a, layer_range: [-1, 2]}, {model: base, layer_range: [3, 1]}]
  - sources: [{model: a, layer_range: [0, 2]}, {model: base, layer_range: [0, 0]}]
  - sources: [{model: a, layer_range: [0, 2]}, {model: base, layer_range: [0, 3]}]
  - sources: [{model: a, layer_range: [0, 2]}, {model: a, layer_range: [2, 4]}, {model: base, layer_range: [0, 2]}]
  - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]
parameters: {weight: 1}
)")
                                .Error();
  EXPECT_THAT(
      error,
      AllOf(HasSubstr("slices[0].sources[0].layer_range: [0, 5) goes too far; a has the layers [0, 4)"),
            HasSubstr("slices[1].sources[0].layer_range: [-1, 2) goes too far"),
            HasSubstr("slices[1].sources[1].layer_range: [3, 1) is empty; base has the layers [0, 4)"),
            HasSubstr("slices[2].sources[1].layer_range: [0, 0) is empty"),
            HasSubstr("slices[3].sources[1]: base has 3 layers here; 2 before it in the slice"),
            HasSubstr("slices[4].sources[1]: a is there already"),
            HasSubstr("slices[5]: the base base is not among the sources; add it to them")));
}

TEST(MergePlan, SurvivesLayersAsLargeAsNumbersGo) {
  EXPECT_THAT(Merge("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [-2147483648, "
                    "2147483647]}]}]")
                  .Error(),
              HasSubstr("[-2147483648, 2147483647) goes too far"));
}

TEST(MergePlan, RefusesModelsWithDifferentNumbersOfLayersUnderModels) {
  model::ModelConfig three = FourLayers();
  three.num_hidden_layers = 3;
  Merge merge("merge_method: karcher\nmodels: [{model: a}, {model: b}]");
  EXPECT_THAT(merge.Set("b", three).Error(), HasSubstr("models[1]: b has 3 layers here; 4 before it"));
  Merge slices(
      "merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 4]}]},"
      " {sources: [{model: b, layer_range: [1, 3]}]}]");
  EXPECT_EQ(slices.Set("b", three).Plan().config.num_hidden_layers, 6);
}

TEST(MergePlan, RefusesOtherShapesListingAllOfThem) {
  model::ModelConfig other = FourLayers();
  other.intermediate_size = 96;
  other.num_key_value_heads = 4;
  Merge merge("merge_method: karcher\nmodels: [{model: a}, {model: b}]");
  EXPECT_THAT(merge.Set("b", other).Error(), AllOf(HasSubstr("intermediate_size is 128 in a and 96 in b"),
                                                   HasSubstr("num_key_value_heads is 2 in a and 4 in b")));
}

TEST(MergePlan, AsksForATokenizerSourceWhereVocabulariesDiffer) {
  model::ModelConfig other = FourLayers();
  other.vocab_size = 41;
  Merge merge("merge_method: karcher\nmodels: [{model: a}, {model: b}]");
  EXPECT_THAT(merge.Set("b", other).Error(), AllOf(HasSubstr("vocab_size is 40 in a and 41 in b"),
                                                   HasSubstr("fix: add \"tokenizer_source: union\"")));
}

TEST(MergePlan, RefusesOtherPositionsAndNormsUnlessAsMergekit) {
  model::ModelConfig other = FourLayers();
  other.rope_theta = 10000;
  other.rms_norm_eps = 1e-6;
  other.max_position_embeddings = 256;
  Merge merge("merge_method: karcher\nbase_model: b\nmodels: [{model: a}, {model: b}]");
  merge.Set("b", other);
  EXPECT_THAT(
      merge.Error(),
      AllOf(HasSubstr("rope_theta is 10000 in b and 500000 in a"), HasSubstr("rms_norm_eps is 1e-06 in b"),
            HasSubstr("merge models that agree in rope_theta"), Not(HasSubstr("max_position_embeddings"))));
  const MergePlan plan = merge.Plan(true);
  EXPECT_EQ(plan.config.rope_theta, 10000);
  EXPECT_THAT(plan.notes,
              ElementsAre(HasSubstr("rope_theta is 10000 in b and 500000 in a; the result has that of b"),
                          HasSubstr("rms_norm_eps"), HasSubstr("max_position_embeddings")));
}

TEST(MergePlan, RefusesATiedModelBesideOneWithItsOwnHead) {
  model::ModelConfig tied = FourLayers();
  tied.tie_word_embeddings = true;
  Merge merge("merge_method: karcher\nmodels: [{model: a}, {model: b}]");
  merge.Set("b", tied);
  for (const bool as_mergekit : {false, true})
    EXPECT_THAT(merge.Error(as_mergekit), AllOf(HasSubstr("tie_word_embeddings is false in a and true in b"),
                                                HasSubstr("fix: untie the tied model first")));
  merge.Set("a", tied);
  EXPECT_EQ(merge.Plan().tensors.back().name, "model.norm.weight");
}

TEST(MergePlan, RefusesWeightsThatSumToZeroWhereTheyAreDividedBy) {
  const std::string models =
      "\nmodels: [{model: a, parameters: {weight: [0.1, 1]}}, {model: b, parameters: {weight: 0.2}},"
      " {model: c, parameters: {weight: [-0.3, 1]}}]\n";
  EXPECT_THAT(Merge("merge_method: linear" + models).Error(),
              HasSubstr("the weights for model.embed_tokens.weight sum to zero, by which linear divides: "
                        "0.1 (a), 0.2 (b), -0.3 (c) (and 11 more tensors)"));
  EXPECT_EQ(Merge("merge_method: linear" + models + "parameters: {normalize: false}").Error(), "no error");
  EXPECT_THAT(Merge("merge_method: multislerp" + models).Error(), HasSubstr("by which multislerp divides"));
  EXPECT_EQ(Merge("merge_method: multislerp" + models + "parameters: {normalize_weights: false}").Error(),
            "no error");
  EXPECT_EQ(
      Merge("merge_method: task_arithmetic\nbase_model: base" + models + "parameters: {normalize: true}")
          .Error(),
      "no error");
  EXPECT_THAT(Merge("merge_method: nuslerp\nbase_model: c\nmodels: [{model: a, parameters: {weight: 0}},"
                    " {model: b, parameters: {weight: 0}}]")
                  .Error(),
              HasSubstr("by which nuslerp divides: 0 (a), 0 (b)"));
}

TEST(MergePlan, KeepsDellasProbabilitiesBetweenZeroAndOne) {
  const auto error = [](const std::string& a) {
    return Merge("merge_method: della\nbase_model: base\nmodels: [{model: a, parameters: {" + a +
                 "}}]\nparameters: {weight: 1}")
        .Error();
  };
  EXPECT_THAT(
      error("density: 0.9"),
      HasSubstr("a has density 0.9 and epsilon 0.15 for model.embed_tokens.weight: density - epsilon must "
                "be above 0 and density + epsilon below 1; set epsilon below 0.1, or density to 1"));
  EXPECT_THAT(error("density: 0.1"), HasSubstr("set epsilon below 0.1"));
  EXPECT_THAT(error("density: 0.5, epsilon: 0.5"), HasSubstr("set epsilon below 0.5"));
  for (const char* fine : {"density: 0.9, epsilon: 0.05", "density: 1", "density: 0", "density: 0.5"})
    EXPECT_EQ(error(fine), "no error") << fine;
}

TEST(MergePlan, NotesASlerpBeyondItsModels) {
  const MergePlan plan =
      Merge("merge_method: slerp\nbase_model: a\nmodels: [{model: b}]\nparameters: {t: [1, 1.9]}").Plan();
  EXPECT_THAT(
      plan.notes,
      ElementsAre(AllOf(HasSubstr("t is 1.3 for model.layers.1.input_layernorm.weight: slerp goes beyond"),
                        HasSubstr("(and 26 more tensors)"))));
}

TEST(MergePlan, NotesParametersOfTheBaseThatHaveNoEffect) {
  const std::string rest =
      "\nbase_model: a\nmodels: [{model: a, parameters: {weight: 3}}, {model: b}]\nparameters: {weight: 1}";
  EXPECT_THAT(Merge("merge_method: ties" + rest).Plan().notes,
              ElementsAre("models[0]: a is the base, so its own weight has no effect"));
  EXPECT_THAT(Merge("merge_method: linear" + rest).Plan().notes, IsEmpty());
}

}  // namespace
}  // namespace forge::merge
