// SPDX-License-Identifier: Apache-2.0
#include "compress/mixed_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "compress/mixed_precision.h"
#include "compress/sensitivity.h"
#include "compress/ternary_training.h"
#include "io/gguf_size.h"

namespace forge::compress {
namespace {

/// Q8_0's output error beside that of Q4_0: steps of 1/127 of the largest weight instead of 1/8.
constexpr double kQ8Share = 1.0 / 256;

/// In the file, with padding.
std::uint64_t BytesOf(const model::TensorSpec& spec, io::BlockType type) {
  return io::PaddedTensorBytes({spec.name, spec.shape, type});
}

/// The units of a model and how large they are in each storage.
class Sizes {
 public:
  Sizes(const model::ModelConfig& config, std::span<const LinearStorage> storages)
      : units_(FusedLinears(config)), storages_(storages) {
    for (model::TensorSpec& spec : model::ListTensors(config)) {
      if (IsLinear(spec)) weights_ += static_cast<double>(spec.shape[0]) * static_cast<double>(spec.shape[1]);
      specs_.emplace(spec.name, std::move(spec));
    }
  }
  const std::vector<std::vector<std::string>>& units() const { return units_; }
  const model::TensorSpec& spec(const std::string& name) const { return specs_.at(name); }
  const std::map<std::string, model::TensorSpec>& specs() const { return specs_; }
  std::uint64_t BytesOfBits(double bits_per_weight) const {
    return static_cast<std::uint64_t>(bits_per_weight * weights_ / 8);
  }
  double BitsOf(std::uint64_t linear_bytes) const { return 8 * static_cast<double>(linear_bytes) / weights_; }

  /// Nothing where rows do not fill blocks.
  std::optional<std::uint64_t> UnitBytes(std::size_t unit, std::size_t storage) const {
    std::uint64_t bytes = 0;
    for (const std::string& name : units_[unit]) {
      if (!storages_[storage].Holds(spec(name))) return std::nullopt;
      bytes += BytesOf(spec(name), storages_[storage].type);
    }
    return bytes;
  }

  /// Of all linears, each in the smallest storage that holds it.
  std::uint64_t SmallestLinears() const {
    std::uint64_t sum = 0;
    for (std::size_t u = 0; u < units_.size(); ++u) {
      std::optional<std::uint64_t> least;
      for (std::size_t s = 0; s < storages_.size(); ++s)
        if (const auto bytes = UnitBytes(u, s)) least = std::min(least.value_or(*bytes), *bytes);
      sum += least.value();
    }
    return sum;
  }

 private:
  std::vector<std::vector<std::string>> units_;
  std::span<const LinearStorage> storages_;
  std::map<std::string, model::TensorSpec> specs_;
  double weights_ = 0;  // of all linears
};

class Chooser {
 public:
  Chooser(const model::ModelConfig& config, std::span<const LinearStorage> storages,
          std::span<const LinearReport> reports, std::span<const double> sensitivities)
      : sizes_(config, storages), storages_(storages) {
    for (const LinearReport& report : reports) reports_[report.name] = &report;
    choices_.resize(sizes_.units().size());
    storage_of_choice_.resize(sizes_.units().size());
    for (std::size_t u = 0; u < sizes_.units().size(); ++u)
      for (std::size_t s = 0; s < storages_.size(); ++s) {
        const std::optional<std::uint64_t> bytes = sizes_.UnitBytes(u, s);
        if (!bytes) continue;
        choices_[u].push_back({*bytes, sensitivities[u] * ShareOf(sizes_.units()[u], s)});
        storage_of_choice_[u].push_back(s);
      }
  }

  MixedTypes Choose(std::span<const TableChoice> tables, const MixedBudget& budget, MetricSink& sink) const {
    std::size_t combinations = 1;
    for (const TableChoice& table : tables) combinations *= table.types.size();
    std::optional<Combination> best;
    for (std::size_t code = 0; code < combinations; ++code) {
      std::optional<Combination> next = Try(tables, code, budget);
      if (next && (!best || next->divergence < best->divergence)) best = std::move(next);
    }
    FORGE_CHECK(best);
    MixedTypes types{.linears = {}, .tables = std::move(best->tables)};
    std::vector<int> counts(storages_.size());
    for (std::size_t u = 0; u < sizes_.units().size(); ++u) {
      const std::size_t storage = storage_of_choice_[u][best->chosen[u]];
      ++counts[storage];
      for (const std::string& name : sizes_.units()[u]) types.linears[name] = storage;
    }
    Say(counts, types.tables, sink);
    return types;
  }

 private:
  struct Combination {
    std::map<std::string, io::BlockType> tables;
    std::vector<std::size_t> chosen;  // by unit
    double divergence = 0;            // of all
  };

  /// The tables' types by the digits of `code`, and the best of the linears beside them. Nothing if they
  /// leave too little.
  std::optional<Combination> Try(std::span<const TableChoice> tables, std::size_t code,
                                 const MixedBudget& budget) const {
    Combination result;
    std::uint64_t taken = budget.other_bytes;
    for (const TableChoice& table : tables) {
      const std::size_t digit = code % table.types.size();
      code /= table.types.size();
      result.tables[table.name] = table.types[digit];
      result.divergence += table.divergences[digit];
      taken += BytesOf(sizes_.spec(table.name), table.types[digit]);
    }
    std::uint64_t most = sizes_.BytesOfBits(budget.bits_per_weight);
    if (budget.file_bytes > 0) most = std::min(most, budget.file_bytes - std::min(budget.file_bytes, taken));
    if (most < sizes_.SmallestLinears()) return std::nullopt;
    result.chosen = ChooseStorage(choices_, most);
    for (std::size_t u = 0; u < choices_.size(); ++u)
      result.divergence += choices_[u][result.chosen[u]].divergence;
    return result;
  }

  /// How much larger the output error of a unit is than in the first storage.
  double ShareOf(const std::vector<std::string>& unit, std::size_t storage) const {
    if (storage == 0) return 1;
    double share = 0;
    for (const std::string& name : unit) {
      const LinearReport& report = *reports_.at(name);
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

  void Say(const std::vector<int>& counts, const std::map<std::string, io::BlockType>& tables,
           MetricSink& sink) const {
    std::string text;
    for (std::size_t s = 0; s < storages_.size(); ++s)
      if (counts[s] > 0)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[s], storages_[s].name);
    for (const auto& [name, type] : tables) text += fmt::format("; {} {}", name, io::Info(type).name);
    sink.Log(fmt::format("compress: {} units become {}", sizes_.units().size(), text));
  }

  Sizes sizes_;
  std::span<const LinearStorage> storages_;
  std::map<std::string, const LinearReport*> reports_;
  std::vector<std::vector<StorageChoice>> choices_;          // by unit
  std::vector<std::vector<std::size_t>> storage_of_choice_;  // indices into storages_, like choices_
};

/// As a number of 10^6 bytes, never less.
std::string Megabytes(std::uint64_t bytes) {
  return fmt::format("{:.2f}", std::ceil(static_cast<double>(bytes) / 1e4) / 100);
}

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

void CheckBudget(const model::ModelConfig& config, std::span<const LinearStorage> storages,
                 std::span<const io::BlockType> tables, const MixedBudget& budget) {
  const Sizes sizes(config, storages);
  const std::uint64_t linears = sizes.SmallestLinears();
  if (linears > sizes.BytesOfBits(budget.bits_per_weight))
    throw Error(
        {.kind = ErrorKind::kUsage,
         .what = fmt::format("cannot store the linears in {:g} bits a weight", budget.bits_per_weight),
         .why = fmt::format("all ternary they take {:.3f}", sizes.BitsOf(linears)),
         .fix = fmt::format("give --bits-per-weight {:.2f} or more",
                            std::ceil(100 * sizes.BitsOf(linears)) / 100)});
  if (budget.file_bytes == 0) return;
  std::uint64_t of_tables = 0;
  for (const auto& [name, spec] : sizes.specs()) {
    if (!IsTable(spec)) continue;
    std::uint64_t least = BytesOf(spec, tables.front());
    for (const io::BlockType type : tables) least = std::min(least, BytesOf(spec, type));
    of_tables += least;
  }
  const std::uint64_t smallest = linears + of_tables + budget.other_bytes;
  if (smallest > budget.file_bytes)
    throw Error(
        {.kind = ErrorKind::kUsage,
         .what = fmt::format("cannot make a file of {} bytes", budget.file_bytes),
         .why = fmt::format("the smallest has {}: linears {}, all ternary, embedding and head {}, all "
                            "else {}",
                            smallest, linears, of_tables, budget.other_bytes),
         .fix = fmt::format("give --max-file-mb {} or more{}", Megabytes(smallest),
                            tables.size() > 1 ? "" : ", or --embedding-type auto")});
}

MixedTypes ChooseTypes(const model::ModelConfig& config, std::span<const LinearStorage> storages,
                       std::span<const LinearReport> reports, std::span<const double> sensitivities,
                       std::span<const TableChoice> tables, const MixedBudget& budget, MetricSink& sink) {
  return Chooser(config, storages, reports, sensitivities).Choose(tables, budget, sink);
}

}  // namespace forge::compress
