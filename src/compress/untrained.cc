// SPDX-License-Identifier: Apache-2.0
#include "compress/untrained.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "compress/kept_linears.h"
#include "compress/mixed_precision.h"
#include "compress/sensitivity.h"
#include "io/sha256.h"

namespace forge::compress {
namespace {

constexpr std::size_t kSensitivityTexts = 8;
/// Q8_0's output error beside that of Q4_0: steps of 1/127 of the largest weight instead of 1/8.
constexpr double kQ8Share = 1.0 / 256;

/// A way to store a linear.
struct Storage {
  std::string name;
  const Quantiser* quantiser;  // null: rounded to nearest
  std::int64_t group;
  io::BlockType type;

  bool Holds(const model::TensorSpec& spec) const {
    const std::int64_t width = quantiser == nullptr ? static_cast<std::int64_t>(io::Info(type).elements)
                               : quantiser->blocks  ? quantiser->blocks->width()
                                                    : group;
    return width <= 0 || spec.shape[1] % width == 0;
  }
  LayerwiseOptions::Choice choice() const { return {quantiser, group}; }
};

class Untrained {
 public:
  Untrained(const model::WeightSource& source, std::span<const std::vector<int>> texts,
            std::span<const std::vector<int>> held_out, const UntrainedOptions& options, MetricSink& sink,
            const StopToken& stop)
      : source_(source), texts_(texts), held_out_(held_out), options_(options), sink_(sink), stop_(stop) {
    for (model::TensorSpec& spec : model::ListTensors(source.config())) specs_.emplace(spec.name, spec);
    const bool is_dual = options.tier == Tier::kDual;
    storages_.push_back({is_dual ? "2 planes" : "ternary",
                         is_dual ? &FindQuantiser("two-planes") : options.quantiser, options.fitted_group,
                         options.type});
    if (options.tier != Tier::kMixed) return;
    for (const char* name : {"four", "q2_k", "q3_k", "q4_k", "q5_k", "q4", "q5"}) {
      const Quantiser& quantiser = FindQuantiser(name);
      std::string type(io::Info(quantiser.blocks->type).name);
      if (type == "Q2_0") type += ", 4 levels";
      storages_.push_back({std::move(type), &quantiser, quantiser.blocks->group, quantiser.blocks->type});
    }
    storages_.push_back({"Q8_0", nullptr, 0, io::BlockType::kQ8_0});
  }

  UntrainedResult Run() {
    if (options_.tier != Tier::kMixed) return Pass({});
    UntrainedResult strict = Pass({});
    const std::vector<double> sensitivities = MeasureSensitivity(
        source_,
        [&](const std::string& name) { return model::Dequantize(strict.model.ternary.at(name)).values; },
        held_out_.first(std::min(held_out_.size(), kSensitivityTexts)), sink_, stop_);
    const StorageOf storages = Choose(strict, sensitivities);
    strict = {};
    return Pass(storages);
  }

 private:
  /// By linear: an index into storages_; 0 for those that are not there.
  using StorageOf = std::map<std::string, std::size_t>;

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

  UntrainedResult Pass(const StorageOf& storages) {
    UntrainedResult result;
    result.model.config = source_.config();
    for (const auto& [name, spec] : specs_) {
      if (IsLinear(spec)) continue;
      model::Tensor& kept = result.model.weights[name] = source_.Read(spec);
      if (IsTable(spec)) RoundTable(kept.values, source_.config().hidden_size);
    }
    const auto storage_of = [&](const std::string& name) -> const Storage& {
      const auto found = storages.find(name);
      return storages_[found == storages.end() ? 0 : found->second];
    };
    LayerwiseOptions layerwise{
        .choose = {}, .with_feedback = options_.with_feedback, .compare = {}, .blocks = options_.blocks};
    layerwise.choose = [&](const model::TensorSpec& spec) { return storage_of(spec.name).choice(); };
    if (options_.tier == Tier::kMixed && storages.empty())
      for (const Storage& storage : std::span(storages_).subspan(1))
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
      const Storage& storage = storages_[index];
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

  KeptLinear Stored(const QuantisedLinear& linear, const Storage& storage, const LinearReport& report) const {
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

  std::uint64_t BytesOf(const std::vector<std::string>& unit, io::BlockType type) const {
    std::uint64_t bytes = 0;
    for (const std::string& name : unit) {
      const model::TensorSpec& spec = specs_.at(name);
      bytes += static_cast<std::uint64_t>(model::Rows(spec)) * io::RowBytes(type, model::Columns(spec));
    }
    return bytes;
  }

  /// Of each unit and storage: how much larger its output error is than that of the first storage, both by
  /// nearest rounding, the mean over its linears. Nothing where rows do not fill blocks.
  std::optional<double> ShareOf(const std::vector<const LinearReport*>& reports, std::size_t storage) const {
    if (storage == 0) return 1;
    double share = 0;
    for (const LinearReport* report : reports) {
      if (!storages_[storage].Holds(specs_.at(report->name))) return std::nullopt;
      if (!(report->nearest_error > 0)) continue;
      double error = 0;
      if (storages_[storage].quantiser != nullptr) {
        error = report->compared.at(storage - 1);
      } else {
        const auto q4 = std::find_if(storages_.begin(), storages_.end(),
                                     [](const Storage& s) { return s.type == io::BlockType::kQ4_0; });
        error = kQ8Share * report->compared.at(static_cast<std::size_t>(q4 - storages_.begin()) - 1);
      }
      share += std::min(1.0, error / report->nearest_error) / static_cast<double>(reports.size());
    }
    return share;
  }

  StorageOf Choose(const UntrainedResult& strict, const std::vector<double>& sensitivities) const {
    std::map<std::string, const LinearReport*> reports;
    for (const LinearReport& report : strict.linears) reports[report.name] = &report;
    const std::vector<std::vector<std::string>> units = FusedLinears(source_.config());
    std::vector<std::vector<StorageChoice>> choices(units.size());
    std::vector<std::vector<std::size_t>> storage_of_choice(units.size());
    double weights = 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
      std::vector<const LinearReport*> of_unit;
      for (const std::string& name : units[u]) {
        of_unit.push_back(reports.at(name));
        weights += static_cast<double>(model::Rows(specs_.at(name))) *
                   static_cast<double>(model::Columns(specs_.at(name)));
      }
      for (std::size_t s = 0; s < storages_.size(); ++s) {
        const std::optional<double> share = ShareOf(of_unit, s);
        if (!share) continue;
        choices[u].push_back({BytesOf(units[u], storages_[s].type), sensitivities[u] * *share});
        storage_of_choice[u].push_back(s);
      }
    }
    const std::vector<std::size_t> chosen =
        ChooseStorage(choices, static_cast<std::uint64_t>(options_.bits_per_weight * weights / 8));
    StorageOf storages;
    std::vector<int> counts(storages_.size());
    for (std::size_t u = 0; u < units.size(); ++u) {
      const std::size_t storage = storage_of_choice[u][chosen[u]];
      ++counts[storage];
      for (const std::string& name : units[u]) storages[name] = storage;
    }
    std::string text;
    for (std::size_t s = 0; s < storages_.size(); ++s)
      if (counts[s] > 0)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[s], storages_[s].name);
    sink_.Log(fmt::format("compress: {} units become {}", units.size(), text));
    return storages;
  }

  const model::WeightSource& source_;
  std::span<const std::vector<int>> texts_, held_out_;
  const UntrainedOptions& options_;
  MetricSink& sink_;
  const StopToken& stop_;
  std::map<std::string, model::TensorSpec> specs_;
  std::vector<Storage> storages_;  // the smallest first
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
