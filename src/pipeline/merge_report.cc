// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"
#include "io/sha256.h"
#include "pipeline/model_hash.h"
#include "pipeline/model_reference.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr double kLowDrift = 0.5, kHighDrift = 2;
constexpr std::size_t kMostUnusual = 20;
constexpr double kMuchWorse = 1.0;     // nats a token above the reference: 2.7 times its perplexity
constexpr double kRepetitive = 0.5;    // share of repeated 4-grams
constexpr int kRepetitivePrompts = 3;  // of four

/// Sums of squares come in the order of the threads: the last digits of a ratio are not the same in every
/// run.
double SixDigits(double ratio) { return std::round(ratio * 1e6) / 1e6; }

Json ToJson(const TensorDrift& drift) {
  return {{"tensor", drift.tensor}, {"ratio", SixDigits(drift.ratio)}};
}

std::string HashOf(const Json& model) {
  return model.contains("sha256") ? model["sha256"].get<std::string>() : "not computed";
}

/// A name for the hub's front matter: OWNER/NAME stays, a local path becomes its last part.
std::string CardName(const Json& model) {
  const auto name = model["name"].get<std::string>();
  const bool is_local = fs::exists(PartsOf(model["path"].get<std::string>()).base) &&
                        (fs::exists(name) || name.starts_with('.') || name.starts_with('/'));
  return is_local ? ShortNameOf(model["path"].get<std::string>()) : name;
}

std::string ChecksText(const Json& report) {
  const Json& drift = report["norm_drift"];
  std::string text =
      fmt::format("- every weight is finite; tensor lengths against their sources: {:.3f} to {:.3f}\n",
                  drift["lowest"]["ratio"].get<double>(), drift["highest"]["ratio"].get<double>());
  const Json& smoke = report["smoke_test"];
  if (smoke.is_null()) return text + "- not run on texts (no tokenizer, or --no-smoke-test)\n";
  text += fmt::format("- a text of {} tokens: {:.3f} nats a token; {}: {:.3f}\n", smoke["tokens"].get<int>(),
                      smoke["nll"].get<double>(), smoke["reference"].get<std::string>(),
                      smoke["reference_nll"].get<double>());
  return text + fmt::format("- repeated 4-grams in the greedy answers to four prompts: {:.0f} % at most\n",
                            100 * smoke["highest_repetition"].get<double>());
}

}  // namespace

Json ToJson(std::vector<TensorDrift> drift) {
  if (drift.empty()) return nullptr;
  std::sort(drift.begin(), drift.end(), [](const auto& a, const auto& b) { return a.ratio < b.ratio; });
  Json json = {{"lowest", ToJson(drift.front())},
               {"highest", ToJson(drift.back())},
               {"median", SixDigits(drift[drift.size() / 2].ratio)},
               {"unusual", Json::array()}};
  std::erase_if(drift, [](const TensorDrift& d) { return d.ratio >= kLowDrift && d.ratio <= kHighDrift; });
  const auto distance = [](const TensorDrift& d) { return std::fabs(std::log(std::max(d.ratio, 1e-30))); };
  std::sort(drift.begin(), drift.end(),
            [&](const auto& a, const auto& b) { return distance(a) > distance(b); });
  for (std::size_t i = 0; i < std::min(drift.size(), kMostUnusual); ++i)
    json["unusual"].push_back(ToJson(drift[i]));
  return json;
}

void AddHashes(const std::vector<fs::path>& models, const fs::path& folder, MetricSink& sink, Json& report) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  sink.Log(fmt::format("merge: sha256 of {} models and the result", models.size()));
  std::vector<std::string> hashes(models.size() + files.size());
  ThreadPool::Global().Run(hashes.size(), [&](std::size_t i) {
    hashes[i] = i < models.size() ? ModelHash(models[i]) : io::Sha256OfFile(files[i - models.size()]);
  });
  for (std::size_t m = 0; m < models.size(); ++m) report["models"][m]["sha256"] = hashes[m];
  report["files"] = Json::object();
  for (std::size_t f = 0; f < files.size(); ++f)
    report["files"][files[f].filename().string()] = hashes[models.size() + f];
}

std::vector<std::string> MergeWarnings(const Json& report) {
  std::vector<std::string> warnings;
  for (const Json& unusual : report["norm_drift"]["unusual"])
    warnings.push_back(fmt::format("{} is {:.2f} times as long as what it was made of",
                                   unusual["tensor"].get<std::string>(), unusual["ratio"].get<double>()));
  const Json& smoke = report["smoke_test"];
  if (smoke.is_null()) return warnings;
  const double nll = smoke["nll"], reference = smoke["reference_nll"];
  if (nll > reference + kMuchWorse)
    warnings.push_back(fmt::format("a plain text costs {:.2f} nats a token; {} needs {:.2f}", nll,
                                   smoke["reference"].get<std::string>(), reference));
  int repetitive = 0;
  for (const Json& prompt : smoke["prompts"]) repetitive += prompt["repetition"].get<double>() > kRepetitive;
  if (repetitive >= kRepetitivePrompts)
    warnings.push_back(fmt::format("the answers to {} of 4 prompts repeat themselves", repetitive));
  return warnings;
}

std::string ModelCard(const Json& report, const std::string& name) {
  std::string card = "---\nlibrary_name: transformers\ntags:\n- forge\n- merge\nbase_model:\n";
  for (const Json& model : report["models"]) card += "- " + Json(CardName(model)).dump() + "\n";
  card +=
      fmt::format("---\n# {}\n\nMerged by `{}` with forge ({} numerics), {} parameters, {}.\n\n## Recipe\n\n",
                  name, report["method"].get<std::string>(), report["numerics"].get<std::string>(),
                  report["parameters"].get<std::uint64_t>(), report["dtype"].get<std::string>());
  auto recipe = report["recipe"].get<std::string>();
  if (!recipe.ends_with('\n')) recipe += '\n';
  card += fmt::format("```yaml\n{}```\n\n    forge merge recipe.yml {} --random-seed {}\n\n## Models\n\n",
                      recipe, name, report["seed"].get<std::uint64_t>());
  for (const Json& model : report["models"])
    card += fmt::format("- {}, sha256 {}\n", CardName(model), HashOf(model));
  card += "\n## Checks\n\n" + ChecksText(report);
  for (const std::string& warning : report["warnings"].get<std::vector<std::string>>())
    card += "- **warning:** " + warning + "\n";
  return card;
}

}  // namespace forge::pipeline
