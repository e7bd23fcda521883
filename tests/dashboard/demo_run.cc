// SPDX-License-Identifier: Apache-2.0
// Writes a made-up run into FOLDER, slowly, while serving the dashboard on it; for dashboard_test.mjs and for
// looking. Usage: forge_dashboard_demo FOLDER [TICK_MS|stdin] [PORT]. Prints the address, then serves until
// it is killed. A step of the run takes TICK_MS; with "stdin" the run does as many steps as each number read
// says and waits for the next, so that a test never races it; at the end of the input it does the rest.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <string_view>
#include <thread>

#include "base/philox.h"
#include "base/stop_token.h"
#include "dashboard/server.h"
#include "track/run_report.h"

namespace forge {
namespace {

using track::Json;
using track::State;
using track::Store;

/// What a step of the run waits for: `argument` is a number of milliseconds, or "stdin".
class Clock {
 public:
  explicit Clock(std::string_view argument)
      : from_input_(argument == "stdin"), tick_ms_(from_input_ ? 0 : std::atoi(argument.data())) {}

  void Tick(Store& store) {
    if (!from_input_) return std::this_thread::sleep_for(std::chrono::milliseconds(tick_ms_));
    if (allowed_ == 0) store.Flush();  // what was done so far shall be seen while this waits
    while (allowed_ == 0)
      if (!(std::cin >> allowed_)) allowed_ = std::numeric_limits<int>::max();
    --allowed_;
  }

 private:
  bool from_input_;
  int tick_ms_, allowed_ = 0;
};

class DemoRun {
 public:
  DemoRun(Store& store, std::string id, Clock clock) : store_(store), id_(std::move(id)), clock_(clock) {}

  void Write(const std::filesystem::path& folder) {
    store_.CreateRun({.id = id_,
                      .command = "forge run-pipeline --preset demo --seed 7",
                      .config = {{"preset", "demo"}},
                      .seed = 7});
    Evolve();
    Reason();
    Compress();
    store_.RecordArtifact(id_, {.name = "final model",
                                .path = id_ + "/compress/model.gguf",
                                .bytes = 412'000,
                                .sha256 = std::string(64, 'a')});
    store_.FinishRun(id_, State::kDone,
                     {{"final_model", id_ + "/compress/model.gguf"},
                      {"versions", {{"forge", "0.1.0"}}},
                      {"sample", "start 3, +4, *2 -> 7 -> 0; answer 0"}});
    track::WriteReport(folder, track::GatherReport(store_, id_));
  }

 private:
  void Log(const std::string& stage, const std::string& line) {
    store_.AddEvent(id_, "log", stage, {{"line", line}});
  }

  void Evolve() {
    store_.BeginStage(id_, "evolve");
    Log("evolve", "3 models, 24 layers, compatible");
    const std::pair<const char*, double> parents[] = {
        {"math", 0.36}, {"code", 0.33}, {"structured", 0.38}, {"uniform average", 0.41}};
    std::int64_t next = 0;
    for (const auto& [label, fitness] : parents)
      store_.RecordCandidate(id_, {.id = next++,
                                   .kind = next == 4 ? "uniform" : "parent",
                                   .label = label,
                                   .scores = {{"fitness", fitness}}});
    for (const char* const domain : {"math", "code"})
      store_.Metric(id_, "evolve", fmt::format("evolve/reference/{}/base", domain), 0, 0.45);
    constexpr int kGenerations = 12, kPerGeneration = 8;
    for (int generation = 0; generation < kGenerations; ++generation) {
      for (int i = 0; i < kPerGeneration; ++i, ++next) {
        clock_.Tick(store_);
        Random random(7, "demo/fitness", static_cast<std::uint64_t>(next));
        const double fitness = 0.74 - 0.36 * std::exp(-generation / 3.5) + 0.05 * random.Normal();
        std::vector<std::int64_t> from{random.Below(4)};
        if (generation > 0) from = {next - kPerGeneration, next - kPerGeneration + random.Below(4) - i % 2};
        store_.RecordCandidate(id_, {.id = next,
                                     .generation = generation,
                                     .kind = generation == 0 ? "seed" : "child",
                                     .genome = {{"method", "ties"}, {"density", random.Uniform()}},
                                     .parents = from,
                                     .scores = {{"fitness", fitness}}});
        store_.Progress(id_, "evolve", generation * kPerGeneration + i + 1, kGenerations * kPerGeneration,
                        "candidates");
        for (const char* const domain : {"math", "code"}) {
          store_.Metric(id_, "evolve", fmt::format("evolve/best/{}", domain), generation,
                        0.8 - 0.4 * std::exp(-generation / 3.0));
          store_.Metric(id_, "evolve", fmt::format("evolve/mean/{}", domain), generation,
                        0.7 - 0.4 * std::exp(-generation / 3.0));
        }
        store_.Metric(id_, "evolve", "evolve/diversity", generation * kPerGeneration + i,
                      0.9 * std::exp(-generation / 8.0) + 0.03 * random.Normal());
      }
      Log("evolve", fmt::format("generation {} of {} done", generation + 1, kGenerations));
    }
    store_.EndStage(
        id_, "evolve", State::kDone,
        {{"champion_score", 0.742},
         {"best_parent_score", 0.381},
         {"uniform_score", 0.412},
         {"gain_relative", 0.948},
         {"gain_ci", {0.861, 1.02}},
         {"p_value", 1e-9},
         {"n", 1500},
         {"per_domain",
          {{"math", {{"champion", 0.88}, {"best_parent", 0.91}, {"uniform", 0.42}, {"n", 500}}},
           {"code", {{"champion", 0.66}, {"best_parent", 0.12}, {"uniform", 0.38}, {"n", 500}}}}}});
  }

  void Reason() {
    store_.BeginStage(id_, "reason");
    for (int step = 0; step < 120; ++step) {
      clock_.Tick(store_);
      Random random(7, "demo/loss", static_cast<std::uint64_t>(step));
      store_.Metric(id_, "reason", "train/loss", step,
                    0.4 + 1.9 * std::exp(-step / 40.0) + 0.06 * random.Normal());
      store_.Metric(id_, "reason", "train/reward", step, 0.02 * std::sqrt(step) + 0.02 * random.Normal());
      store_.Progress(id_, "reason", step + 1, 120, "steps", step < 80 ? "teaching" : "baking");
      if (step % 20 == 0) Log("reason", fmt::format("step {}: checkpoint written", step));
    }
    const auto arm = [](const char* name, const char* label, double accuracy) {
      return Json{{"name", name},
                  {"label", label},
                  {"accuracy", accuracy},
                  {"ci", {accuracy - 0.032, accuracy + 0.034}},
                  {"n", 600}};
    };
    store_.EndStage(
        id_, "reason", State::kDone,
        {{"verdict", "baked"},
         {"thought_gain_points", 21.3},
         {"placebo_gain_points", -0.4},
         {"p_value", 3e-12},
         {"retention", 0.91},
         {"retention_ci", {0.84, 0.97}},
         {"n", 600},
         {"arms",
          {arm("A0", "no thought", 0.412), arm("A1", "thought", 0.625), arm("A2", "filler", 0.408),
           arm("A3", "foreign thought", 0.399), arm("B1", "baked", 0.606)}}});
  }

  void Compress() {
    store_.BeginStage(id_, "compress");
    for (int step = 0; step < 60; ++step) {
      clock_.Tick(store_);
      store_.Metric(id_, "compress", "compress/kl", step, 0.05 + 0.8 * std::exp(-step / 15.0));
      store_.Progress(id_, "compress", step + 1, 60, "steps", "ternary-aware training");
    }
    const auto file = [](const char* name, double linear, double embedding) {
      return Json{{"name", name},
                  {"bytes", linear + embedding + 9000},
                  {"retention", 0.99},
                  {"classes", {{"linear", linear}, {"embedding", embedding}, {"norms and header", 9000}}}};
    };
    store_.EndStage(
        id_, "compress", State::kDone,
        {{"input_bytes", 1'909'000},
         {"output_bytes", 412'000},
         {"ratio", 4.63},
         {"bits_per_weight", 3.41},
         {"retention", 0.978},
         {"retention_ci", {0.962, 0.991}},
         {"per_domain", {{"math", {{"before", 0.88}, {"after", 0.87}, {"retention", 0.989}, {"n", 500}}}}},
         {"files",
          {file("fp16 (input)", 1'600'000, 300'000), file("Q8_0", 850'000, 159'000),
           file("Q4_0", 450'000, 159'000), file("ternary (ours)", 244'000, 159'000)}}});
  }

  Store& store_;
  std::string id_;
  Clock clock_;
};

}  // namespace
}  // namespace forge

int main(int argc, char** argv) {
  const std::filesystem::path folder = argc > 1 ? argv[1] : "/tmp/forge-demo";
  const forge::Clock clock(argc > 2 ? argv[2] : "50");
  forge::track::Store store = forge::track::Store::Open(folder, forge::track::Store::Mode::kWrite);
  forge::dashboard::Server server({.folder = folder, .port = argc > 3 ? std::atoi(argv[3]) : 0});
  fmt::print("{}\n", server.Url());
  std::fflush(stdout);
  forge::StopToken stop;
  std::thread serving([&] { server.Run(stop); });
  const std::string id = forge::track::NewRunId(
      store.Now(), [&](const std::string& name) { return store.FindRun(name).has_value(); });
  forge::DemoRun(store, id, clock).Write(folder);
  serving.join();
}
