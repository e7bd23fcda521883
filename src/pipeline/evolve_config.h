// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/config_field.h"

namespace forge::pipeline {

struct EvolveConfig {
  std::vector<std::string> base_models{"deepseek", "nemotron", "qwen2"};
  std::string base;
  std::string models_dir = "models";
  int generations = 50;
  double mutation_rate = 0.15;
  int plateau_window = 3;
  double plateau_threshold = 0.01;
  int plateau_patience = 5;
  std::string tasks = "starter";
  int search_items = 100;
  int selection_items = 150;
  int test_items = 500;
  int finalists = 12;
  std::string algorithm = "cma-es";
  int evaluations = 120;
  std::string guide = "likelihood";
  int guide_items = 64;
  std::string item_order = "stored";
  int promoted = 6;
  std::string finest_level = "layers";
  int layer_groups = 4;
  int path_slices = 4;
  bool method_gene = false;
  double min_per_domain = -1;
  bool race = false;
  bool surrogate = false;
  std::string estimate = "mean";
  double ternary_weight = 0;
  double max_minutes = 0;
  int max_tokens = 0;
  std::string order = "ask";
  int pending = 8;
  bool keep_evaluations = true;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("base_models", base_models, AnyValue{}, "The models to merge: paths, or names below --models-dir.");
    visit("base", base, AnyValue{},
          "The model they were fine-tuned from; a folder `base` beside the first is found by itself. None: "
          "their average.");
    visit("models_dir", models_dir, AnyValue{}, "Folder that names of models are looked up in.");
    visit("generations", generations, InRange{0, 200},
          "Generations of classic after its eight seeds; the plateau rule may stop earlier. Given without "
          "--algorithm, it chooses classic.");
    visit("mutation_rate", mutation_rate, InRange{0.001, 1},
          "Standard deviation of a gene's change, as a share of its range.");
    visit("plateau_window", plateau_window, InRange{2, 50}, "Generations that the plateau rule compares.");
    visit("plateau_threshold", plateau_threshold, InRange{0, 0.1},
          "Gain within the window below which the search counts as flat.");
    visit("plateau_patience", plateau_patience, InRange{1, 200},
          "Flat windows in a row that stop the search.");
    visit("tasks", tasks, AnyValue{},
          "What fitness is: starter, a JSONL file of {domain, prompt, completion}, or data:FOLDER with "
          "GSM8K, MBPP and TinyStories (negative log-likelihood).");
    visit("search_items", search_items, InRange{1, 100000},
          "Items of each domain that fitness is measured on.");
    visit("selection_items", selection_items, InRange{1, 100000},
          "Other items of each domain, for choosing the champion.");
    visit("test_items", test_items, InRange{1, 100000},
          "Other items of each domain, read once for the report.");
    visit("finalists", finalists, InRange{1, 1000},
          "Best candidates of the search that the selection split decides between.");
    visit("algorithm", algorithm, OneOf{{"classic", "cma-es", "nsga2", "map-elites", "random"}},
          "How the search goes on: classic breeds whole recipes in generations; the others search the "
          "coefficients of task arithmetic.");
    visit("evaluations", evaluations, InRange{1, 100000}, "Proposals of every algorithm but classic.");
    visit(
        "guide", guide, OneOf{{"likelihood", "task"}},
        "What scores the proposals of every algorithm but classic: the likelihood of the gold answers, which "
        "needs no generation, or the task's own metric.");
    visit("guide_items", guide_items, InRange{0, 100000},
          "Search items of each domain that the likelihood is taken of; 0: all.");
    visit("item_order", item_order, OneOf{{"stored", "information"}},
          "Which of them come first, also in a race of proposals: as stored, or those that tell most about a "
          "model (two-parameter logistic model of the answers of parents, base and their average).");
    visit("promoted", promoted, InRange{1, 1000},
          "Proposals of the finest level, the best by likelihood, that the task's metric is measured of, "
          "beside "
          "the search's centre.");
    visit("finest_level", finest_level, OneOf{{"models", "components", "layers", "paths"}},
          "How finely coefficients are set: one a model; attention, MLP and the rest; those by groups of "
          "layers; paths: and then how layers of the merge and the parents are stacked.");
    visit("layer_groups", layer_groups, InRange{1, 64}, "Groups of layers of the finest level.");
    visit("path_slices", path_slices, InRange{1, 16}, "Runs of layers that a path is made of.");
    visit("method_gene", method_gene, AnyValue{},
          "Let the search also choose between a sum, TIES and DARE, with density and factor.");
    visit("min_per_domain", min_per_domain, InRange{-1, 1000},
          "No domain may fall below its best parent by more than this, in units of the guide; -1: any may.");
    visit(
        "race", race, AnyValue{},
        "Measure the promoted proposals on a quarter, half and all of the search items, and drop on the way "
        "what is surely not among the best (paired tests).");
    visit("surrogate", surrogate, AnyValue{},
          "Let a quadratic model of the results rank four proposals for each that is evaluated, while its "
          "predictions are in the right order (not for nsga2).");
    visit("estimate", estimate, OneOf{{"mean", "ability"}},
          "How the champion is chosen among the finalists: by their mean on the selection items, or by their "
          "ability in a two-parameter logistic model of all answers (exact match only).");
    visit("ternary_weight", ternary_weight, InRange{0, 100},
          "How much the likelihood after rounding to ternary values counts beside that before.");
    visit("max_minutes", max_minutes, InRange{0, 1e6},
          "Minutes after which no more proposals are made; 0: no limit.");
    visit("max_tokens", max_tokens, InRange{0, 2'000'000'000},
          "Tokens, read and written, after which no more proposals are made (a generation under way is "
          "finished); "
          "0: no limit.");
    visit(
        "order", order, OneOf{{"ask", "arrival"}},
        "In which order results count: that of the proposals, so that the number of workers changes nothing, "
        "or that of their arrival, so that no worker waits; it is then written down and kept on a resume.");
    visit(
        "keep_evaluations", keep_evaluations, AnyValue{},
        "Use what earlier runs in the same output folder measured of the same merges on the same items, and "
        "keep what this one measures.");
    visit(
        "pending", pending, InRange{1, 10000},
        "Proposals of nsga2 and map-elites that may be under way before the first of them counts; cma-es has "
        "its generation.");
  }
};

}  // namespace forge::pipeline
