// SPDX-License-Identifier: Apache-2.0
#include "compress/mixed_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compress/mixed_precision.h"
#include "compress/sensitivity.h"

namespace forge::compress {
namespace {

/// Q8_0's output error beside that of Q4_0: steps of 1/127 of the largest weight instead of 1/8.
constexpr double kQ8Share = 1.0 / 256;

class Chooser {
 public:
  Chooser(const model::ModelConfig& config, std::span<const LinearStorage> storages,
          std::span<const LinearReport> reports, std::span<const double> sensitivities)
      : units_(FusedLinears(config)), storages_(storages), sensitivities_(sensitivities) {
    for (model::TensorSpec& spec : model::ListTensors(config)) specs_.emplace(spec.name, spec);
    for (const LinearReport& report : reports) reports_[report.name] = &report;
  }

  StorageOf Choose(double bits_per_weight, MetricSink& sink) const {
    std::vector<std::vector<StorageChoice>> choices(units_.size());
    std::vector<std::vector<std::size_t>> storage_of_choice(units_.size());
    double weights = 0;
    for (std::size_t u = 0; u < units_.size(); ++u) {
      for (const std::string& name : units_[u])
        weights += static_cast<double>(model::Rows(specs_.at(name))) *
                   static_cast<double>(model::Columns(specs_.at(name)));
      for (std::size_t s = 0; s < storages_.size(); ++s) {
        const std::optional<double> share = ShareOf(units_[u], s);
        if (!share) continue;
        choices[u].push_back({BytesOf(units_[u], storages_[s].type), sensitivities_[u] * *share});
        storage_of_choice[u].push_back(s);
      }
    }
    const std::vector<std::size_t> chosen =
        ChooseStorage(choices, static_cast<std::uint64_t>(bits_per_weight * weights / 8));
    StorageOf storages;
    std::vector<int> counts(storages_.size());
    for (std::size_t u = 0; u < units_.size(); ++u) {
      const std::size_t storage = storage_of_choice[u][chosen[u]];
      ++counts[storage];
      for (const std::string& name : units_[u]) storages[name] = storage;
    }
    Say(counts, sink);
    return storages;
  }

 private:
  std::uint64_t BytesOf(const std::vector<std::string>& unit, io::BlockType type) const {
    std::uint64_t bytes = 0;
    for (const std::string& name : unit) {
      const model::TensorSpec& spec = specs_.at(name);
      bytes += static_cast<std::uint64_t>(model::Rows(spec)) * io::RowBytes(type, model::Columns(spec));
    }
    return bytes;
  }

  /// How much larger the output error of a unit is than in the first storage. Nothing where rows do not fill
  /// blocks.
  std::optional<double> ShareOf(const std::vector<std::string>& unit, std::size_t storage) const {
    if (storage == 0) return 1;
    double share = 0;
    for (const std::string& name : unit) {
      const LinearReport& report = *reports_.at(name);
      if (!storages_[storage].Holds(specs_.at(name))) return std::nullopt;
      if (!(report.nearest_error > 0)) continue;
      double error = 0;
      if (storages_[storage].quantiser != nullptr) {
        error = report.compared.at(storage - 1);
      } else {
        const auto q4 = std::find_if(storages_.begin(), storages_.end(),
                                     [](const LinearStorage& s) { return s.type == io::BlockType::kQ4_0; });
        error = kQ8Share * report.compared.at(static_cast<std::size_t>(q4 - storages_.begin()) - 1);
      }
      share += std::min(1.0, error / report.nearest_error) / static_cast<double>(unit.size());
    }
    return share;
  }

  void Say(const std::vector<int>& counts, MetricSink& sink) const {
    std::string text;
    for (std::size_t s = 0; s < storages_.size(); ++s)
      if (counts[s] > 0)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[s], storages_[s].name);
    sink.Log(fmt::format("compress: {} units become {}", units_.size(), text));
  }

  std::vector<std::vector<std::string>> units_;
  std::span<const LinearStorage> storages_;
  std::span<const double> sensitivities_;
  std::map<std::string, model::TensorSpec> specs_;
  std::map<std::string, const LinearReport*> reports_;
};

}  // namespace

bool LinearStorage::Holds(const model::TensorSpec& spec) const {
  const std::int64_t width = quantiser == nullptr ? static_cast<std::int64_t>(io::Info(type).elements)
                             : quantiser->blocks  ? quantiser->blocks->width()
                                                  : group;
  return width <= 0 || spec.shape[1] % width == 0;
}

std::vector<LinearStorage> MixedStorages(LinearStorage ternary) {
  std::vector<LinearStorage> storages{std::move(ternary)};
  for (const char* name : {"four", "q2_k", "q3_k", "q4_k", "q5_k", "q4", "q5"}) {
    const Quantiser& quantiser = FindQuantiser(name);
    std::string type(io::Info(quantiser.blocks->type).name);
    if (type == "Q2_0") type += ", 4 levels";
    storages.push_back({std::move(type), &quantiser, quantiser.blocks->group, quantiser.blocks->type});
  }
  storages.push_back({"Q8_0", nullptr, 0, io::BlockType::kQ8_0});
  return storages;
}

StorageOf ChooseLinearStorages(const model::ModelConfig& config, std::span<const LinearStorage> storages,
                               std::span<const LinearReport> reports, std::span<const double> sensitivities,
                               double bits_per_weight, MetricSink& sink) {
  return Chooser(config, storages, reports, sensitivities).Choose(bits_per_weight, sink);
}

}  // namespace forge::compress
