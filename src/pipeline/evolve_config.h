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

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("base_models", base_models, AnyValue{}, "The models to merge: paths, or names below --models-dir.");
    visit("base", base, AnyValue{},
          "The model they were fine-tuned from; a folder `base` beside the first is found by itself. None: "
          "their average.");
    visit("models_dir", models_dir, AnyValue{}, "Folder that names of models are looked up in.");
    visit("generations", generations, InRange{0, 200},
          "Generations after the eight seeds; the plateau rule may stop earlier.");
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
  }
};

}  // namespace forge::pipeline
