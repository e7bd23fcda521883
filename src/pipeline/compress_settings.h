// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "compress/compressor.h"

namespace forge::pipeline {

/// What `forge compress` takes besides the compressor's own settings.
struct CompressSettings {
  std::string input_model;
  std::string output_model;
  std::string calibration_dataset = "starter";
  std::string second_corpus;
  std::vector<std::string> calibration_texts;
  int eval_samples = 500;
  compress::CompressConfig compress{.training_steps = 1000};

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("input_model", input_model, AnyValue{}, "The model to compress: a folder or GGUF file.");
    visit("output_model", output_model, AnyValue{},
          "Where the GGUF file goes, a path ending in .gguf; empty: only in the run folder.");
    visit("calibration_dataset", calibration_dataset, AnyValue{},
          "What to calibrate, train and measure on, in parts that share nothing: starter, wikitext, "
          "wikitext103 or "
          "openwebtext (forge data pull), self (texts that the model writes), a text file (*.txt), a JSONL "
          "file of "
          "{domain, prompt, completion}, or data:FOLDER (see --tasks of evo).");
    visit("calibration_texts", calibration_texts, AnyValue{},
          "Text files or corpora to calibrate on besides, and with training to train on (other parts of "
          "them), so that there are more kinds of text; they are not measured.");
    visit("second_corpus", second_corpus, AnyValue{},
          "Another text to measure on, which nothing is fitted to: a text file (*.txt), wikitext, "
          "wikitext103 or "
          "openwebtext.");
    visit("eval_samples", eval_samples, InRange{1, 100000}, "Test items of each domain, for the retention.");
    compress.VisitFields([&](std::string_view name, auto& value, const auto& rule, std::string_view help) {
      if (name != "seed") visit(name, value, rule, help);  // the run's seed is used
    });
  }
};

}  // namespace forge::pipeline
