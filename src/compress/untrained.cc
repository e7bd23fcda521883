// SPDX-License-Identifier: Apache-2.0
#include "compress/untrained.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "compress/kept_linears.h"
#include "compress/mixed_choice.h"
#include "compress/sensitivity.h"
#include "io/sha256.h"

namespace forge::compress {
namespace {

constexpr std::size_t kSensitivityTexts = 8;

/// The smallest first.
std::vector<LinearStorage> StoragesOf(const UntrainedOptions& options) {
  const bool is_dual = options.tier == Tier::kDual;
  LinearStorage first{is_dual ? "2 planes" : "ternary",
                      is_dual ? &FindQuantiser("two-planes") : options.quantiser, options.fitted_group,
                      options.type};
  if (options.tier == Tier::kMixed) return MixedStorages(std::move(first));
  return {std::move(first)};
}

class Untrained {
 public:
  Untrained(const model::WeightSource& source, std::span<const std::vector<int>> texts,
            std::span<const std::vector<int>> held_out, const UntrainedOptions& options, MetricSink& sink,
            const StopToken& stop)
      : source_(source), texts_(texts), held_out_(held_out), options_(options), sink_(sink), stop_(stop) {
    for (model::TensorSpec& spec : model::ListTensors(source.config())) {
      if (IsTable(spec)) tables_[spec.name] = options.tables;
      specs_.emplace(spec.name, spec);
    }
    storages_ = StoragesOf(options);
  }

  UntrainedResult Run() {
    if (options_.tier != Tier::kMixed) return Pass({});
    UntrainedResult strict = Pass({});
    const std::vector<double> sensitivities = MeasureSensitivity(
        source_,
        [&](const std::string& name) { return model::Dequantize(strict.model.ternary.at(name)).values; },
        SensitivityTexts(), sink_, stop_);
    MixedTypes types = ChooseTypes(source_.config(), storages_, strict.linears, sensitivities, TableChoices(),
                                   options_.budget, sink_);
    strict = {};
    tables_ = std::move(types.tables);
    return Pass(types.linears);
  }

 private:
  std::span<const std::vector<int>> SensitivityTexts() const {
    return held_out_.first(std::min(held_out_.size(), kSensitivityTexts));
  }

  std::vector<TableChoice> TableChoices() const {
    std::vector<TableChoice> choices;
    const std::vector<io::BlockType>& types = options_.tables_to_choose_from;
    if (types.empty()) {
      for (const auto& [name, type] : tables_) choices.push_back({name, {type}, {0}});
      return choices;
    }
    for (auto& [name, divergences] :
         MeasureTableSensitivity(source_, types, SensitivityTexts(), sink_, stop_)) {
      std::string text;
      for (std::size_t i = 0; i < types.size(); ++i)
        text += fmt::format("{} {} {:.4f}", i == 0 ? "" : ",", io::Info(types[i]).name, divergences[i]);
      sink_.Log(fmt::format("compress: divergence with {} alone in a type, nats:{}", name, text));
      choices.push_back({name, types, divergences});
    }
    return choices;
  }

  /// Quantisers and groups to compare; a group of 0 columns would be the tensor, a row is as long as it is.
  std::vector<std::pair<std::string, LayerwiseOptions::Choice>> Compared() const {
    std::vector<std::pair<std::string, LayerwiseOptions::Choice>> compared;
    if (!options_.compares) return compared;
    for (const Quantiser& quantiser : Quantisers()) {
      if (quantiser.blocks) {
        const std::int64_t group = quantiser.blocks->group;
        if (Divides(quantiser.blocks->width()))
          compared.push_back({fmt::format("{}, {}", quantiser.name, group), {&quantiser, group}});
        continue;
      }
      compared.push_back({fmt::format("{}, row", quantiser.name), {&quantiser, kWholeRow}});
      for (const std::int64_t group : {256, 128, 64})
        if (Divides(group))
          compared.push_back({fmt::format("{}, {}", quantiser.name, group), {&quantiser, group}});
    }
    return compared;
  }

  /// The rows of all linears.
  bool Divides(std::int64_t group) const {
    return std::all_of(specs_.begin(), specs_.end(), [&](const auto& entry) {
      return !IsLinear(entry.second) || entry.second.shape[1] % group == 0;
    });
  }

  /// The linears that are not in `storages` in the first one.
  UntrainedResult Pass(const StorageOf& storages) {
    UntrainedResult result;
    result.model.config = source_.config();
    for (const auto& [name, spec] : specs_) {
      if (IsLinear(spec)) continue;
      model::Tensor& kept = result.model.weights[name] = source_.Read(spec);
      if (IsTable(spec))
        result.model.encoded[name] = RoundTable(kept.values, spec.shape[1], tables_.at(name));
    }
    const auto storage_of = [&](const std::string& name) -> const LinearStorage& {
      const auto found = storages.find(name);
      return storages_[found == storages.end() ? 0 : found->second];
    };
    LayerwiseOptions layerwise{
        .choose = {}, .with_feedback = options_.with_feedback, .compare = {}, .blocks = options_.blocks};
    layerwise.choose = [&](const model::TensorSpec& spec) { return storage_of(spec.name).choice(); };
    if (options_.tier == Tier::kMixed && storages.empty())
      for (const LinearStorage& storage : std::span(storages_).subspan(1))
        if (storage.quantiser != nullptr) layerwise.compare.push_back(storage.choice());
    const std::vector<std::pair<std::string, LayerwiseOptions::Choice>> compared = Compared();
    for (const auto& [name, choice] : compared) layerwise.compare.push_back(choice);
    const KeptLinears kept = OpenKept(storages);
    const auto take = [&](const model::TensorSpec& spec, KeptLinear linear) {
      for (std::size_t i = 0; i < compared.size(); ++i)
        result.compared[compared[i].first] +=
            linear.report.compared[linear.report.compared.size() - compared.size() + i];
      result.linears.push_back(linear.report);
      result.stored_as.push_back(storage_of(spec.name).name);
      if (linear.first) result.model.ternary[spec.name] = *std::move(linear.first);
      if (linear.second) result.model.second_plane[spec.name] = *std::move(linear.second);
      if (linear.blocks) result.model.encoded[spec.name] = *std::move(linear.blocks);
    };
    std::map<int, bool> is_layer_kept;
    layerwise.known = [&](const model::TensorSpec& spec) -> std::optional<std::vector<float>> {
      if (options_.blocks.steps > 0) {
        const auto [entry, is_new] = is_layer_kept.try_emplace(spec.layer, false);
        if (is_new) entry->second = IsLayerKept(kept, spec.layer);
        if (!entry->second) return std::nullopt;
      }
      std::optional<KeptLinear> found = kept.Find(spec);
      if (!found) return std::nullopt;
      std::vector<float> values = found->Values();
      take(spec, *std::move(found));
      return values;
    };
    QuantiseLayerwise(
        source_, result.model.weights.at("model.embed_tokens.weight"), texts_, held_out_, layerwise,
        [&](const model::TensorSpec& spec, const QuantisedLinear& linear, const LinearReport& report) {
          KeptLinear made = Stored(linear, storage_of(spec.name), report);
          kept.Keep(spec, made);
          take(spec, std::move(made));
        },
        sink_, stop_);
    for (auto& [name, error] : result.compared) error /= static_cast<double>(result.linears.size());
    for (const auto& [name, index] : storages) {
      const LinearStorage& storage = storages_[index];
      if (storage.quantiser != nullptr) continue;
      result.model.encoded[name] =
          Encode(storage.type, source_.Read(specs_.at(name)).values, specs_.at(name).shape[1]);
      result.linears.push_back({.name = name, .quantiser = storage.name});
      result.stored_as.push_back(storage.name);
    }
    return result;
  }

  bool IsLayerKept(const KeptLinears& kept, int layer) const {
    return std::all_of(specs_.begin(), specs_.end(), [&](const auto& entry) {
      return entry.second.layer != layer || !IsLinear(entry.second) || kept.Find(entry.second);
    });
  }

  KeptLinear Stored(const QuantisedLinear& linear, const LinearStorage& storage,
                    const LinearReport& report) const {
    KeptLinear made{.report = report};
    if (storage.quantiser->blocks) {
      made.blocks = EncodeLevels(linear, *storage.quantiser->blocks);
      return made;
    }
    made.first = ToTernary(linear, 0, options_.group);
    if (options_.tier == Tier::kDual) made.second = ToTernary(linear, 1, options_.group);
    return made;
  }

  /// Of this pass, by all that its linears are made from; of the weights the first rows.
  KeptLinears OpenKept(const StorageOf& storages) const {
    if (options_.kept.empty()) return KeptLinears({}, {});
    std::string key =
        fmt::format("{} {} {} {} {} {}\n", Name(options_.tier), options_.quantiser->name, options_.group,
                    options_.fitted_group, options_.with_feedback, options_.compares);
    if (const BlockSettings& blocks = options_.blocks; blocks.steps > 0)
      key += fmt::format("blocks {} {} {} {} {}\n", blocks.steps, blocks.learning_rate, blocks.tokens,
                         blocks.precision == train::Precision::kBFloat16 ? "bf16" : "f32", blocks.seed);
    for (const auto& [name, index] : storages) key += fmt::format("{} {}\n", name, storages_[index].name);
    for (const auto& [name, type] : tables_) key += fmt::format("{} {}\n", name, io::Info(type).name);
    for (const auto part : {texts_, held_out_})
      for (const std::vector<int>& text : part) key += fmt::format("{}\n", fmt::join(text, " "));
    for (const auto& [name, spec] : specs_) {
      std::vector<float> row(static_cast<std::size_t>(model::Columns(spec)));
      source_.ReadRows(spec, 0, row);
      const std::span<const std::byte> bytes = std::as_bytes(std::span(row));
      key += fmt::format("{} {}\n", name, io::Sha256(bytes));
    }
    return KeptLinears(options_.kept / fmt::format("{}-{}", Name(options_.tier), storages.empty() ? 1 : 2),
                       io::Sha256(std::as_bytes(std::span(key))),
                       [this](const std::string& line) { sink_.Log("compress: " + line); });
  }

  const model::WeightSource& source_;
  std::span<const std::vector<int>> texts_, held_out_;
  const UntrainedOptions& options_;
  MetricSink& sink_;
  const StopToken& stop_;
  std::map<std::string, model::TensorSpec> specs_;
  std::vector<LinearStorage> storages_;  // the smallest first
  std::map<std::string, io::BlockType> tables_;
};

}  // namespace

const char* Name(Tier tier) {
  return tier == Tier::kStrict ? "strict" : tier == Tier::kMixed ? "mixed" : "dual";
}

void CheckBudget(const model::ModelConfig& config, const UntrainedOptions& options) {
  if (options.tier != Tier::kMixed) return;
  const std::vector<io::BlockType> one{options.tables};
  CheckBudget(config, StoragesOf(options),
              options.tables_to_choose_from.empty() ? one : options.tables_to_choose_from, options.budget);
}

UntrainedResult CompressUntrained(const model::WeightSource& source, std::span<const std::vector<int>> texts,
                                  std::span<const std::vector<int>> held_out, const UntrainedOptions& options,
                                  MetricSink& sink, const StopToken& stop) {
  CheckGroups(source.config(), options.group);
  CheckBudget(source.config(), options);
  return Untrained(source, texts, held_out, options, sink, stop).Run();
}

}  // namespace forge::compress
