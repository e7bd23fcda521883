// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/config_field.h"
#include "base/metric_sink.h"
#include "base/stop_token.h"

namespace forge::pipeline {

/// The embedded default: models that forge trains itself in minutes (design.md, "The starter suite").
struct StarterConfig {
  std::string out = "models/starter";
  std::uint64_t seed = 1;
  int test_items = 500;
  int base_max_steps = 450;
  int specialist_steps = 250;
  int adaptation_steps = 30;
  std::string device = "cpu";  // of TrainStarterSuite: cpu or cuda

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("out", out, AnyValue{}, "Folder to write base, math, code and structured into.");
    visit("seed", seed, AnyValue{}, "Same seed, same machine: same bytes.");
    visit("test_items", test_items, InRange{50, 1500}, "Items of each domain's accuracy.");
    visit("base_max_steps", base_max_steps, InRange{1, 100000}, "Most training steps of the base.");
    visit("specialist_steps", specialist_steps, InRange{1, 100000},
          "Training steps of a specialist's skill.");
    visit("adaptation_steps", adaptation_steps, InRange{0, 100000},
          "Steps in which only embedding, norms and biases follow.");
    visit("device", device, OneOf{{"auto", "cpu", "cuda"}}, "Where to train.");
  }
};

/// Exact match of one model: domains math, code, structured, then direct with 3 and with 4 operations.
struct StarterRow {
  std::string model;
  std::vector<int> correct;  // of n each
};
struct StarterTable {
  int n = 0;
  std::vector<StarterRow> rows;
  /// Every rule of the target profile that does not hold, in words; empty: the profile is met.
  std::vector<std::string> misses;
  double seconds = 0;
};

/// Whether a model is left to train. Throws Error(kInput) when `out` holds something else than what a call
/// with these settings left.
bool CheckStarterSuite(const StarterConfig& config);

/// Trains base and specialists and writes them as standard model folders, with starter.json (the table). Goes
/// on from what an earlier, stopped call left. Finished models are kept. Begins with CheckStarterSuite.
///
/// The recipe: a Qwen2 model of 0.63 M weights; the base learns all domains until each is close to a middling
/// goal, with more rows for the domains that lag; a specialist then trains its attention and MLP matrices on
/// its own domain, and afterwards, for a few steps, embedding, norms and biases only, which makes it forget
/// the other domains in tensors that a merge can leave alone.
StarterTable TrainStarterSuite(const StarterConfig& config, MetricSink& sink, const StopToken& stop);

/// The table as text, with the intervals.
std::string ShowStarterTable(const StarterTable& table);

}  // namespace forge::pipeline
