// SPDX-License-Identifier: Apache-2.0
#include "merge/parameter_setting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/config_file.h"

namespace forge::merge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Reads the `parameters:` of a method.
Parameters Read(const std::string& yaml, ConfigProblems& problems, const std::string& method = "ties",
                ParameterScope scope = ParameterScope::kModel) {
  return ReadParameters(io::ParseYaml(yaml, "x.yml"), "p", FindMethod(method), scope, problems);
}

ParameterSetting Weight(const std::string& yaml) {
  ConfigProblems problems;
  const Parameters parameters = Read("weight: " + yaml, problems);
  EXPECT_THAT(problems.lines(), IsEmpty());
  return parameters.at("weight");
}

/// The one problem of a `parameters:`.
std::string ProblemOf(const std::string& yaml, const std::string& method = "ties",
                      ParameterScope scope = ParameterScope::kModel) {
  ConfigProblems problems;
  Read(yaml, problems, method, scope);
  return problems.lines().size() == 1 ? problems.lines()[0]
                                      : std::to_string(problems.lines().size()) + " problems";
}

TEST(ParameterSetting, HoldsANumberForEveryTensorAndLayer) {
  EXPECT_EQ(Resolve(Weight("0.25"), "model.norm.weight", 0), 0.25);
  EXPECT_EQ(Resolve(Weight("0.25"), "a", 1), 0.25);
  EXPECT_EQ(Resolve(Weight("-3"), "a", 0.5), -3);
  EXPECT_EQ(Resolve(Weight("1e-1"), "a", 0.5), 0.1);
  EXPECT_EQ(Resolve(Weight("[7]"), "a", 0.9), 7);
}

// Three points: t = 1/3 lies two thirds of the way from the first to the second.
TEST(ParameterSetting, InterpolatesGradientsBetweenTheirPoints) {
  const ParameterSetting setting = Weight("[0, 3, 1]");
  EXPECT_EQ(Resolve(setting, "a", 0), 0);
  EXPECT_DOUBLE_EQ(*Resolve(setting, "a", 1.0 / 3), 2);
  EXPECT_EQ(Resolve(setting, "a", 0.5), 3);
  EXPECT_EQ(Resolve(setting, "a", 0.75), 2);
  EXPECT_EQ(Resolve(setting, "a", 1), 1);
}

// 0.1 + f * (0.1 - 0.1) is 0.1.
TEST(ParameterSetting, InterpolatesWithTheBitsOfMergekit) {
  EXPECT_EQ(Resolve(Weight("[0.1, 0.1]"), "a", 1.0 / 5), 0.10000000000000002);
}

TEST(ParameterSetting, StepsFlagsInsteadOfMixingThem) {
  ConfigProblems problems;
  const Parameters parameters =
      Read("normalize: [true, false, true]", problems, "ties", ParameterScope::kShared);
  const ParameterSetting& setting = parameters.at("normalize");
  EXPECT_EQ(Resolve(setting, "a", 0.49), 1);
  EXPECT_EQ(Resolve(setting, "a", 0.5), 0);
  EXPECT_EQ(Resolve(setting, "a", 0.99), 0);
  EXPECT_EQ(Resolve(setting, "a", 1), 1);
}

TEST(ParameterSetting, TakesTheFirstFilterThatIsPartOfTheName) {
  const ParameterSetting setting =
      Weight("[{filter: mlp, value: [0, 1]}, {filter: up_proj, value: 5}, {filter: attn, value: 7}]");
  EXPECT_EQ(Resolve(setting, "model.layers.0.mlp.up_proj.weight", 0.5), 0.5);
  EXPECT_EQ(Resolve(setting, "model.layers.0.self_attn.q_proj.weight", 0.5), 7);
  EXPECT_EQ(Resolve(setting, "model.norm.weight", 0.5), std::nullopt);
}

TEST(ParameterSetting, TakesAStarOrNoFilterForEveryTensor) {
  EXPECT_EQ(Resolve(Weight("[{filter: mlp, value: 1}, {value: 2}, {value: 3}]"), "norm", 0), 2);
  EXPECT_EQ(Resolve(Weight("[{filter: '*', value: 4}]"), "norm", 0), 4);
}

TEST(ParameterSetting, MayBeOneMappingWithoutAList) {
  EXPECT_EQ(Resolve(Weight("{filter: mlp, value: 4}"), "mlp", 0), 4);
  EXPECT_EQ(Resolve(Weight("{filter: mlp, value: 4}"), "norm", 0), std::nullopt);
}

TEST(Lookup, AsksTheNextScopeWhereNoFilterMatches) {
  ConfigProblems problems;
  const Parameters narrow = Read("weight: {filter: mlp, value: 1}", problems);
  const Parameters wide = Read("weight: 2\ndensity: 0.5", problems);
  EXPECT_EQ(Lookup("weight", {&narrow, nullptr, &wide}, "mlp", 0), 1);
  EXPECT_EQ(Lookup("weight", {&narrow, nullptr, &wide}, "norm", 0), 2);
  EXPECT_EQ(Lookup("density", {&narrow, nullptr, &wide}, "mlp", 0), 0.5);
  EXPECT_EQ(Lookup("density", {&narrow}, "mlp", 0), std::nullopt);
}

TEST(ReadParameters, NamesTheNearestParameterOfTheMethod) {
  EXPECT_EQ(ProblemOf("desnity: 0.1"), "p.desnity: unknown; did you mean \"density\"?");
  EXPECT_EQ(ProblemOf("frobnication: 1", "slerp"), "p.frobnication: unknown; slerp has t");
  EXPECT_EQ(ProblemOf("frobnication: 1", "arcee_fusion"),
            "p.frobnication: unknown; arcee_fusion has no parameters");
}

TEST(ReadParameters, NamesTheMethodsThatHaveAParameterOfAnother) {
  EXPECT_EQ(ProblemOf("gamma: 0.1"),
            "p.gamma: ties does not have it; of the methods, these do: breadcrumbs, breadcrumbs_ties");
}

TEST(ReadParameters, RefusesASharedParameterBesideOneModel) {
  EXPECT_THAT(ProblemOf("normalize: true"), HasSubstr("p.normalize: all models share it"));
  EXPECT_EQ(ProblemOf("normalize: true", "ties", ParameterScope::kShared), "0 problems");
  EXPECT_EQ(ProblemOf("weight: 1", "ties", ParameterScope::kShared), "0 problems");
}

TEST(ReadParameters, NamesThePathAndTheRangeOfAWrongValue) {
  EXPECT_EQ(ProblemOf("density: 1.5"), "p.density: is 1.5; it must be a number from 0 to 1");
  EXPECT_EQ(ProblemOf("density: -0.1"), "p.density: is -0.1; it must be a number from 0 to 1");
  EXPECT_EQ(ProblemOf("weight: abc"), "p.weight: is the text \"abc\"; it must be a number");
  EXPECT_EQ(ProblemOf("weight: '1e-1'"), "p.weight: is the text \"1e-1\"; it must be a number");
  EXPECT_EQ(ProblemOf("weight: true"), "p.weight: is true; it must be a number");
  EXPECT_EQ(ProblemOf("weight: .nan"), "p.weight: is not finite; it must be a number");
  EXPECT_EQ(ProblemOf("weight: .inf"), "p.weight: is not finite; it must be a number");
  EXPECT_EQ(ProblemOf("weight:"), "p.weight: is empty; it must be a number");
  EXPECT_EQ(ProblemOf("weight: []"), "p.weight: is an empty list; it must be a number");
  EXPECT_EQ(ProblemOf("density: [0.1, 2]"), "p.density[1]: is 2; it must be a number from 0 to 1");
  EXPECT_EQ(ProblemOf("weight: [{value: 1}, 3]"), "p.weight[1]: is 3; it must be a mapping of filter, value");
  EXPECT_EQ(ProblemOf("density: [{value: [0, x]}]"),
            "p.density[0].value[1]: is the text \"x\"; it must be a number from 0 to 1");
  EXPECT_EQ(ProblemOf("density: {filter: mlp}"), "p.density: has no value; it must be a number from 0 to 1");
  EXPECT_EQ(ProblemOf("density: {filter: 1, value: 1}"),
            "p.density.filter: is 1; it must be a part of a tensor's name");
  EXPECT_EQ(ProblemOf("density: {fliter: mlp, value: 1}"),
            "p.density.fliter: unknown; did you mean \"filter\"?");
  EXPECT_EQ(ProblemOf("[1]"), "p: is a list; it must be a mapping of parameters");
}

TEST(ReadParameters, TakesOnlyWholeNumbersAndFlagsWhereTheRuleSaysSo) {
  const auto problem = [](const std::string& yaml, const std::string& method) {
    return ProblemOf(yaml, method, ParameterScope::kShared);
  };
  EXPECT_EQ(problem("max_iter: 2.5", "karcher"),
            "p.max_iter: is 2.5; it must be a whole number from 1 to 10000");
  EXPECT_EQ(problem("max_iter: [1, 3]", "karcher"),
            "p.max_iter: is a gradient; it must be a whole number from 1 to 10000");
  EXPECT_EQ(problem("max_iter: 20", "karcher"), "0 problems");
  EXPECT_EQ(problem("normalize: 2", "ties"), "p.normalize: is 2; it must be true or false");
  EXPECT_EQ(problem("normalize: 0.5", "ties"), "p.normalize: is 0.5; it must be true or false");
  EXPECT_EQ(problem("normalize: 1", "ties"), "0 problems");
  EXPECT_EQ(problem("t: -1", "nearswap"), "p.t: is -1; it must be a number of at least 0");
}

TEST(ReadParameters, ListsEveryProblemAtOnce) {
  ConfigProblems problems;
  Read("desnity: 1\nweight: abc\ngamma: 1\nnormalize: true", problems);
  EXPECT_EQ(problems.lines().size(), 4u);
}

}  // namespace
}  // namespace forge::merge
