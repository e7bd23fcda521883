// SPDX-License-Identifier: Apache-2.0
#include "compress/untrained.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "compress/mixed_precision.h"
#include "compress/sensitivity.h"

namespace forge::compress {
namespace {

constexpr std::int64_t kQ4Group = 32;
constexpr std::size_t kSensitivityTexts = 8;
/// Q8_0's output error beside that of Q4_0: steps of 1/127 of the largest weight instead of 1/8.
constexpr double kQ8Share = 1.0 / 256;

enum class Storage { kTernary, kQ4, kQ8 };
const char* Name(Storage storage) {
  return storage == Storage::kTernary ? "ternary" : storage == Storage::kQ4 ? "Q4_0" : "Q8_0";
}

class Untrained {
 public:
  Untrained(const model::WeightSource& source, std::span<const std::vector<int>> texts,
            std::span<const std::vector<int>> held_out, const UntrainedOptions& options, MetricSink& sink,
            const StopToken& stop)
      : source_(source), texts_(texts), held_out_(held_out), options_(options), sink_(sink), stop_(stop) {
    for (model::TensorSpec& spec : model::ListTensors(source.config())) specs_.emplace(spec.name, spec);
  }

  UntrainedResult Run() {
    if (options_.tier != Tier::kMixed) return Pass({});
    UntrainedResult strict = Pass({});
    const std::vector<double> sensitivities = MeasureSensitivity(
        source_,
        [&](const std::string& name) { return model::Dequantize(strict.model.ternary.at(name)).values; },
        held_out_.first(std::min(held_out_.size(), kSensitivityTexts)), sink_, stop_);
    const std::map<std::string, Storage> storages = Choose(strict, sensitivities);
    strict = {};
    return Pass(storages);
  }

 private:
  /// Quantisers and groups to compare; a group of 0 columns would be the tensor, a row is as long as it is.
  std::vector<std::pair<std::string, LayerwiseOptions::Choice>> Compared() const {
    std::vector<std::pair<std::string, LayerwiseOptions::Choice>> compared;
    if (!options_.compares) return compared;
    for (const Quantiser& quantiser : Quantisers()) {
      if (quantiser.planes == 0) {
        compared.push_back({fmt::format("{}, {}", quantiser.name, kQ4Group), {&quantiser, kQ4Group}});
        continue;
      }
      compared.push_back({fmt::format("{}, row", quantiser.name), {&quantiser, kWholeRow}});
      for (const std::int64_t group : {256, 128, 64})
        if (std::all_of(specs_.begin(), specs_.end(), [&](const auto& entry) {
              return !IsLinear(entry.second) || entry.second.shape[1] % group == 0;
            }))
          compared.push_back({fmt::format("{}, {}", quantiser.name, group), {&quantiser, group}});
    }
    return compared;
  }

  /// All linears, those not in `storages` ternary.
  UntrainedResult Pass(const std::map<std::string, Storage>& storages) {
    UntrainedResult result;
    result.model.config = source_.config();
    for (const auto& [name, spec] : specs_) {
      if (IsLinear(spec)) continue;
      model::Tensor& kept = result.model.weights[name] = source_.Read(spec);
      if (IsTable(spec)) RoundTable(kept.values, source_.config().hidden_size);
    }
    const Quantiser& planes =
        options_.tier == Tier::kDual ? FindQuantiser("two-planes") : *options_.quantiser;
    const Quantiser& q4 = FindQuantiser("q4");
    const auto storage_of = [&](const std::string& name) {
      const auto found = storages.find(name);
      return found == storages.end() ? Storage::kTernary : found->second;
    };
    LayerwiseOptions layerwise{.choose = {}, .with_feedback = options_.with_feedback, .compare = {}};
    layerwise.choose = [&](const model::TensorSpec& spec) -> LayerwiseOptions::Choice {
      switch (storage_of(spec.name)) {
        case Storage::kQ8:
          return {};
        case Storage::kQ4:
          return {&q4, kQ4Group};
        case Storage::kTernary:
          break;
      }
      return {&planes, options_.group};
    };
    if (options_.tier == Tier::kMixed && storages.empty()) layerwise.compare = {{&q4, kQ4Group}};
    const std::vector<std::pair<std::string, LayerwiseOptions::Choice>> compared = Compared();
    for (const auto& [name, choice] : compared) layerwise.compare.push_back(choice);
    QuantiseLayerwise(
        source_, result.model.weights.at("model.embed_tokens.weight"), texts_, held_out_, layerwise,
        [&](const model::TensorSpec& spec, const QuantisedLinear& linear, const LinearReport& report) {
          Keep(spec, linear, storage_of(spec.name), result);
          result.linears.push_back(report);
          for (std::size_t i = 0; i < compared.size(); ++i)
            result.compared[compared[i].first] +=
                report.compared[report.compared.size() - compared.size() + i];
          result.stored_as.emplace_back(options_.tier == Tier::kDual ? "2 planes"
                                                                     : Name(storage_of(spec.name)));
        },
        sink_, stop_);
    for (auto& [name, error] : result.compared) error /= static_cast<double>(result.linears.size());
    for (const auto& [name, storage] : storages) {
      if (storage != Storage::kQ8) continue;
      result.model.encoded[name] =
          Encode(io::BlockType::kQ8_0, source_.Read(specs_.at(name)).values, specs_.at(name).shape[1]);
      result.linears.push_back({.name = name, .quantiser = "Q8_0"});
      result.stored_as.emplace_back(Name(storage));
    }
    return result;
  }

  void Keep(const model::TensorSpec& spec, const QuantisedLinear& linear, Storage storage,
            UntrainedResult& result) const {
    if (storage == Storage::kQ4) {
      result.model.encoded[spec.name] = EncodeQ4(linear);
      return;
    }
    result.model.ternary[spec.name] = ToTernary(linear);
    if (options_.tier == Tier::kDual) result.model.second_plane[spec.name] = ToTernary(linear, 1);
  }

  std::uint64_t BytesOf(const std::vector<std::string>& unit, io::BlockType type) const {
    std::uint64_t bytes = 0;
    for (const std::string& name : unit) {
      const model::TensorSpec& spec = specs_.at(name);
      bytes += static_cast<std::uint64_t>(model::Rows(spec)) * io::RowBytes(type, model::Columns(spec));
    }
    return bytes;
  }

  std::map<std::string, Storage> Choose(const UntrainedResult& strict,
                                        const std::vector<double>& sensitivities) const {
    std::map<std::string, const LinearReport*> reports;
    for (const LinearReport& report : strict.linears) reports[report.name] = &report;
    const std::vector<std::vector<std::string>> units = FusedLinears(source_.config());
    std::vector<std::vector<StorageChoice>> choices;
    double weights = 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
      double ternary = 0, q4 = 0;
      for (const std::string& name : units[u]) {
        ternary += reports.at(name)->error;
        q4 += reports.at(name)->compared.at(0);
        weights += static_cast<double>(model::Rows(specs_.at(name))) *
                   static_cast<double>(model::Columns(specs_.at(name)));
      }
      const double share = ternary > 0 ? std::min(1.0, q4 / ternary) : 0;
      choices.push_back({{BytesOf(units[u], options_.type), sensitivities[u]},
                         {BytesOf(units[u], io::BlockType::kQ4_0), sensitivities[u] * share},
                         {BytesOf(units[u], io::BlockType::kQ8_0), sensitivities[u] * share * kQ8Share}});
    }
    const std::vector<std::size_t> chosen =
        ChooseStorage(choices, static_cast<std::uint64_t>(options_.bits_per_weight * weights / 8));
    std::map<std::string, Storage> storages;
    int counts[3] = {};
    for (std::size_t u = 0; u < units.size(); ++u) {
      ++counts[chosen[u]];
      for (const std::string& name : units[u]) storages[name] = static_cast<Storage>(chosen[u]);
    }
    sink_.Log(fmt::format("compress: of {} units {} stay ternary, {} become Q4_0, {} Q8_0", units.size(),
                          counts[0], counts[1], counts[2]));
    return storages;
  }

  const model::WeightSource& source_;
  std::span<const std::vector<int>> texts_, held_out_;
  const UntrainedOptions& options_;
  MetricSink& sink_;
  const StopToken& stop_;
  std::map<std::string, model::TensorSpec> specs_;
};

}  // namespace

const char* Name(Tier tier) {
  return tier == Tier::kStrict ? "strict" : tier == Tier::kMixed ? "mixed" : "dual";
}

UntrainedResult CompressUntrained(const model::WeightSource& source, std::span<const std::vector<int>> texts,
                                  std::span<const std::vector<int>> held_out, const UntrainedOptions& options,
                                  MetricSink& sink, const StopToken& stop) {
  CheckGroups(source.config(), options.group);
  return Untrained(source, texts, held_out, options, sink, stop).Run();
}

}  // namespace forge::compress
