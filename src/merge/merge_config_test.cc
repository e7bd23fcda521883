// SPDX-License-Identifier: Apache-2.0
#include "merge/merge_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "merge/merge_order.h"
#include "merge/testing_sources.h"

namespace forge::merge {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = TokenOverride::Kind;
using Source = TokenizerSetting::Source;

MergeConfig Parse(const std::string& yaml) { return ParseMergeConfigs(yaml, "x.yml").at(0); }
std::string ErrorOf(const std::string& yaml) {
  return testing::ErrorOf([&] { ParseMergeConfigs(yaml, "x.yml"); });
}

const std::string kLinear = "merge_method: linear\nmodels: [{model: a}]\n";

TEST(MergeConfig, ReadsModelsAsOneSliceOfAllLayers) {
  const MergeConfig config = Parse(R"(
merge_method: ties
base_model: base
models:
  - model: a
    parameters: {weight: 0.5, density: [1, 0.5]}
  - model: b
parameters: {weight: 2, normalize: false}
dtype: float16
out_dtype: bfloat16
chat_template: chatml
)");
  EXPECT_EQ(config.method, FindMethod("ties"));
  EXPECT_EQ(config.source, "x.yml");
  ASSERT_EQ(config.slices.size(), 1u);
  const std::vector<SourceConfig>& sources = config.slices[0].sources;
  ASSERT_EQ(sources.size(), 3u);
  EXPECT_EQ(sources[0].path, "models[0]");
  EXPECT_FALSE(sources[0].layers.has_value());
  EXPECT_EQ(sources[0].parameters.at("density").choices.at(0).value.points, std::vector<double>({1, 0.5}));
  EXPECT_EQ(sources[2].model, "base");
  EXPECT_EQ(sources[2].path, "");
  EXPECT_EQ(config.parameters.size(), 2u);
  EXPECT_EQ(config.dtype, io::FloatType::kF16);
  EXPECT_EQ(config.out_dtype, io::FloatType::kBF16);
  EXPECT_EQ(config.chat_template, "chatml");
  EXPECT_FALSE(config.tokenizer.has_value());
}

TEST(MergeConfig, LeavesAListedBaseWhereItIs) {
  const MergeConfig config = Parse("merge_method: ties\nbase_model: b\nmodels: [{model: b}, {model: a}]");
  EXPECT_THAT(ModelsOf(config), ElementsAre("b", "a"));
  EXPECT_EQ(config.slices[0].sources.size(), 2u);
}

TEST(MergeConfig, ReadsSlices) {
  const MergeConfig config = Parse(R"(
merge_method: linear
base_model: donor
slices:
  - sources:
      - {model: a, layer_range: [0, 2], parameters: {weight: 1}}
      - {model: b, layer_range: [2, 4]}
    parameters: {weight: 3, normalize: true}
  - base_model: c
    sources: [{model: a, layer_range: [3, 4]}]
)");
  ASSERT_EQ(config.slices.size(), 2u);
  EXPECT_EQ(config.slices[0].sources[1].layers->first, 2);
  EXPECT_EQ(config.slices[0].sources[1].layers->end, 4);
  EXPECT_EQ(config.slices[0].sources[1].path, "slices[0].sources[1]");
  EXPECT_EQ(config.slices[0].parameters.size(), 2u);
  EXPECT_EQ(config.slices[1].base_model, "c");
  EXPECT_THAT(ModelsOf(config), ElementsAre("a", "b", "donor"));
}

TEST(MergeConfig, ReadsTheInsideOfOneModule) {
  const MergeConfig config = Parse(R"(
merge_method: linear
modules:
  text:
    models: [{model: a, parameters: {weight: 1}}]
    parameters: {weight: 2}
parameters: {weight: 3}
)");
  EXPECT_EQ(config.slices[0].sources[0].path, "modules.text.models[0]");
  EXPECT_EQ(Lookup("weight", {&config.module_parameters}, "x", 0), 2);
  EXPECT_EQ(Lookup("weight", {&config.parameters}, "x", 0), 3);
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodules: {a: {}, b: {}}"),
              HasSubstr("modules: there are 2; the models that forge merges have one"));
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodules: {a: {parameters: {}}}"),
              HasSubstr("modules.a: there are no models; give one of models or slices"));
}

TEST(MergeConfig, WritesModelsAsOneText) {
  const MergeConfig config = Parse(R"(
merge_method: linear
models:
  - model: owner/name@v1+adapter
  - model: {model: owner/name}
  - model: {model: {path: owner/name, revision: v2}, lora: {path: ad, revision: r}}
  - model: {model: m, lora: ad}
)");
  EXPECT_THAT(ModelsOf(config),
              ElementsAre("owner/name@v1+adapter", "owner/name", "owner/name@v2+ad@r", "m+ad"));
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodels: [{model: 7}, {}, {model: {lora: x}}, {model: ''}]"),
              AllOf(HasSubstr("models[0].model: is 7; it must be the path or name of a model (in quotes)"),
                    HasSubstr("models[1]: has no model"), HasSubstr("models[2].model: has no model"),
                    HasSubstr("models[3].model: is an empty text")));
  EXPECT_THAT(ErrorOf(kLinear + "name: yes"), HasSubstr("name: is true; it must be text (in quotes)"));
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodels: [{model: {model: {revision: x}}}]"),
              HasSubstr("models[0].model.model: has no path"));
}

TEST(MergeConfig, TakesNullAsAbsent) {
  const MergeConfig config =
      Parse(kLinear + "base_model:\ndtype: null\nslices: ~\ntokenizer:\nparameters:\n");
  EXPECT_EQ(config.base_model, "");
  EXPECT_FALSE(config.dtype.has_value());
}

TEST(MergeConfig, NamesUnknownKeysWithTheirPathAndTheNearest) {
  EXPECT_THAT(ErrorOf(kLinear + "dtpye: float32"), HasSubstr("dtpye: unknown; did you mean \"dtype\"?"));
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodels: [{modle: a, model: a}]"),
              HasSubstr("models[0].modle: unknown; did you mean \"model\"?"));
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodels: [{model: a, layer_range: [0, 1]}]"),
              HasSubstr("models[0].layer_range: unknown; here are model, parameters"));
  EXPECT_THAT(ErrorOf("merge_method: ties\nmodels: [{model: a}, {model: b, parameters: {desnity: 0.1}}]"),
              HasSubstr("models[1].parameters.desnity: unknown; did you mean \"density\"?"));
}

TEST(MergeConfig, ListsEveryProblemInOneError) {
  EXPECT_THAT(
      ErrorOf(R"(
merge_method: ties
modles: 1
dtype: float64
out_dtype: int8
base_model: {path: x}
slices:
  - residual_weight: 0.5
    sources: [{model: a, parameters: {weight: abc, normalize: true}}, {layer_range: [0, x]}]
    paramters: {}
  - {}
  - sources: []
)"),
      AllOf(HasSubstr("cannot merge as x.yml says"), HasSubstr("modles: unknown; did you mean \"modules\"?"),
            HasSubstr("dtype: is the text \"float64\"; it must be bfloat16, float16 or float32"),
            HasSubstr("out_dtype: is the text \"int8\"; it must be bfloat16"),
            HasSubstr("base_model.path: unknown"),
            HasSubstr("slices[0].residual_weight: mergekit reads it and does nothing with it"),
            HasSubstr("slices[0].sources[0]: has no layer_range"),
            HasSubstr("slices[0].sources[0].parameters.weight: is the text \"abc\"; it must be a number"),
            HasSubstr("slices[0].sources[0].parameters.normalize: all models share it"),
            HasSubstr("slices[0].sources[1]: has no model"),
            HasSubstr("slices[0].sources[1].layer_range: is [0,\"x\"]; it must be two whole numbers"),
            HasSubstr("slices[0].paramters: unknown; did you mean \"parameters\"?"),
            HasSubstr("slices[1]: has no sources"),
            HasSubstr("slices[2].sources: is an empty list; it must be a list of at least one")));
}

TEST(MergeConfig, NeedsAMethodThatExists) {
  EXPECT_THAT(ErrorOf("models: [{model: a}]"), HasSubstr("merge_method: is missing"));
  EXPECT_THAT(ErrorOf("merge_method: dare_tise\nmodels: [{model: a}]"),
              HasSubstr("merge_method: there is no merge method \"dare_tise\"; did you mean \"dare_ties\"?"));
}

TEST(MergeConfig, NeedsExactlyOneOfModelsSlicesAndModules) {
  EXPECT_THAT(ErrorOf("merge_method: linear"),
              HasSubstr("there are no models; give one of models, slices or modules"));
  EXPECT_THAT(ErrorOf(kLinear + "slices: [{sources: [{model: a, layer_range: [0, 1]}]}]"),
              HasSubstr("there are models and slices; give one of them"));
  EXPECT_THAT(ErrorOf("merge_method: linear\nmodels: a"),
              HasSubstr("models: is the text \"a\"; it must be a list"));
}

TEST(MergeConfig, IsAMapping) {
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("is a list; it must be a mapping of merge_method"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("it is empty"));
  EXPECT_THAT(ErrorOf("a: ["), HasSubstr("cannot parse x.yml"));
}

TEST(TokenizerSetting, IsReadFromBothSpellings) {
  EXPECT_EQ(Parse(kLinear + "tokenizer_source: union").tokenizer->source, Source::kUnion);
  EXPECT_EQ(Parse(kLinear + "base_model: b\ntokenizer_source: base").tokenizer->source, Source::kBase);
  EXPECT_EQ(Parse(kLinear + "tokenizer_source: owner/name").tokenizer->model, "owner/name");
  EXPECT_EQ(Parse(kLinear + "tokenizer: {pad_to_multiple_of: 64}").tokenizer->source, Source::kUnion);
  const MergeConfig config = Parse(kLinear + R"(
tokenizer:
  source: {model: a, lora: b}
  pad_to_multiple_of: 8
  tokens:
    <a>: {source: m, force: true}
    <b>: {source: {kind: zero}}
    <c>: {source: {kind: model_token, model: m, token: x}}
    <d>: {source: {kind: model_token, model: {model: {path: m}}, token_id: 0}}
)");
  EXPECT_EQ(config.tokenizer->source, Source::kModel);
  EXPECT_EQ(config.tokenizer->model, "a+b");
  EXPECT_EQ(config.tokenizer->pad_to_multiple_of, 8);
  const std::vector<TokenOverride>& tokens = config.tokenizer->tokens;
  ASSERT_EQ(tokens.size(), 4u);
  EXPECT_EQ(tokens[0].token, "<a>");
  EXPECT_EQ(tokens[0].kind, Kind::kModel);
  EXPECT_EQ(tokens[0].model, "m");
  EXPECT_TRUE(tokens[0].force);
  EXPECT_EQ(tokens[1].kind, Kind::kZero);
  EXPECT_FALSE(tokens[1].force);
  EXPECT_EQ(tokens[2].kind, Kind::kModelToken);
  EXPECT_EQ(tokens[2].source_token, "x");
  EXPECT_EQ(tokens[3].model, "m");
  EXPECT_EQ(tokens[3].source_id, 0);
}

TEST(TokenizerSetting, NamesEveryProblem) {
  EXPECT_THAT(
      ErrorOf(kLinear + R"(
tokenizer_source: base
tokenizer:
  pad_to_multiple_of: 0
  sauce: 1
  tokens:
    <a>: {}
    <b>: {source: {kind: one}}
    <c>: {source: {kind: model_token, token: x, token_id: 1}, force: 3}
    <d>: {source: {kind: model_token, model: m, token_id: -1}}
)"),
      AllOf(HasSubstr("tokenizer_source: there is a tokenizer too"),
            HasSubstr("tokenizer_source: is base, and there is no base_model"),
            HasSubstr("tokenizer.pad_to_multiple_of: is 0; it must be a whole number of at least 1"),
            HasSubstr("tokenizer.sauce: unknown; did you mean \"source\"?"),
            HasSubstr("tokenizer.tokens[\"<a>\"]: has no source"),
            HasSubstr("tokenizer.tokens[\"<b>\"].source.kind: must be zero or model_token"),
            HasSubstr("tokenizer.tokens[\"<c>\"].force: is 3; it must be true or false"),
            HasSubstr("tokenizer.tokens[\"<c>\"].source: has no model"),
            HasSubstr("tokenizer.tokens[\"<c>\"].source: must have either token or token_id"),
            HasSubstr("tokenizer.tokens[\"<d>\"].source.token_id: is -1; it must be a whole number")));
  EXPECT_THAT(ErrorOf(kLinear + "tokenizer: {tokens: [1]}"),
              HasSubstr("tokenizer.tokens: is a list; it must be a mapping of tokens"));
}

/// A merge of these models, as a document.
std::string Document(const std::string& name, const std::vector<std::string>& models) {
  std::string text =
      (name.empty() ? "" : "name: " + name + "\n") + std::string("merge_method: linear\nmodels:\n");
  for (const std::string& model : models) text += "  - model: " + model + "\n";
  return text + "---\n";
}

std::vector<std::string> NamesOf(const std::vector<MergeConfig>& configs) {
  std::vector<std::string> names;
  for (const MergeConfig& config : configs) names.push_back(config.name);
  return names;
}

TEST(SeveralMerges, ComeInAnOrderInWhichEachFindsItsModels) {
  const std::string text = Document("c", {"b", "x"}) + Document("", {"c+adapter"}) + Document("b", {"a"}) +
                           Document("a", {"x"}) + Document("d", {"x"});
  const std::vector<MergeConfig> configs = ParseMergeConfigs(text, "x.yml");
  EXPECT_THAT(NamesOf(configs), ElementsAre("a", "b", "c", "d", ""));
  EXPECT_EQ(configs[1].source, "x.yml (b)");
  EXPECT_THAT(MergesUsedBy(configs[4], configs), ElementsAre("c"));
  EXPECT_THAT(MergesUsedBy(configs[0], configs), IsEmpty());
}

TEST(SeveralMerges, MayUseAResultAsBaseAndForItsTokenizer) {
  const std::string text =
      "name: t\nmerge_method: linear\nmodels: [{model: x}]\ntokenizer_source: z\n---\n"
      "name: z\nmerge_method: linear\nmodels: [{model: x}]\nbase_model: p\n---\n" +
      Document("p", {"w"});
  EXPECT_THAT(NamesOf(ParseMergeConfigs(text, "x.yml")), ElementsAre("p", "z", "t"));
}

TEST(SeveralMerges, MustNotNeedEachOther) {
  EXPECT_THAT(
      ErrorOf(Document("a", {"b"}) + Document("b", {"a"}) + Document("c", {"x"})),
      AllOf(HasSubstr("a: needs b; b: needs a; so none of these can come first"), Not(HasSubstr("c:"))));
  EXPECT_THAT(ErrorOf(Document("a", {"a"})), HasSubstr("a: needs a"));
}

TEST(SeveralMerges, NeedNamesThatDiffer) {
  EXPECT_THAT(ErrorOf(Document("", {"b"}) + Document("", {"a"})),
              HasSubstr("name: 2 of 2 documents have none; only the last merge needs none"));
  EXPECT_THAT(ErrorOf(Document("a", {"b"}) + Document("a", {"c"})),
              HasSubstr("name: two documents are called \"a\""));
  EXPECT_THAT(ErrorOf(Document("a/b", {"b"})), HasSubstr("name: \"a/b\" has a /, + or @"));
}

TEST(SeveralMerges, NameTheDocumentOfAProblem) {
  EXPECT_THAT(ErrorOf(Document("a", {"b"}) + "name: c\nmerge_method: linear\nmodels: [{}]\n"),
              HasSubstr("documents[1].models[0]: has no model"));
}

}  // namespace
}  // namespace forge::merge
