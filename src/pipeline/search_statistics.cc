// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_statistics.h"

#include <fmt/format.h>

#include <span>

#include "base/error.h"
#include "io/sha256.h"

namespace forge::pipeline {
namespace {

/// Names how tables are made, so that another way gets rows of its own.
constexpr const char* kKind = "magnitudes, 512 ranks, 256 bins an octave";

std::string KeyOf(const std::string& parent, const std::string& base) {
  const std::string all = fmt::format("{}\n{}\n{}", kKind, parent, base);
  return io::Sha256(std::as_bytes(std::span(all)));
}

}  // namespace

SearchStatistics::SearchStatistics(Settings settings) : settings_(std::move(settings)) {
  for (const std::string& parent : settings_.parent_hashes)
    keys_.push_back(KeyOf(parent, settings_.base_hash));
}

const merge::MagnitudeTable& SearchStatistics::Magnitudes(std::size_t parent, const std::string& tensor,
                                                          const merge::Change& change, std::size_t size) {
  const std::pair place{parent, tensor};
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = tables_.find(place); found != tables_.end()) return found->second;
  }
  // Two threads may both come here for one tensor: they make the same table, and one of them is kept.
  std::optional<merge::MagnitudeTable> table = Find(keys_.at(parent), tensor, size);
  const bool is_found = table.has_value();
  if (!is_found) {
    table = merge::MagnitudeTable::Of(change, size);
    if (settings_.store != nullptr)
      settings_.store->KeepTensorStatistics(keys_[parent], tensor, {{"size", size}, {"bins", table->bins()}});
  }
  const std::lock_guard lock(mutex_);
  const auto [kept, is_new] = tables_.emplace(place, *std::move(table));
  if (is_new) ++(is_found ? counts_.found : counts_.made);
  return kept->second;
}

std::optional<merge::MagnitudeTable> SearchStatistics::Find(const std::string& key, const std::string& tensor,
                                                            std::size_t size) {
  if (settings_.store == nullptr) return std::nullopt;
  try {
    const std::optional<track::Json> row = settings_.store->FindTensorStatistics(key, tensor);
    if (!row) return std::nullopt;
    merge::MagnitudeTable table(row->at("size").get<std::size_t>(),
                                row->at("bins").get<std::vector<std::uint16_t>>());
    if (table.size() == size) return table;
    settings_.log(fmt::format("the kept statistics of {} are of another size and are made again", tensor));
  } catch (const track::Json::exception& error) {
    settings_.log(fmt::format("the kept statistics of {} are made again: {}", tensor, error.what()));
  } catch (const Error& error) {
    settings_.log(fmt::format("the kept statistics of {} are made again: {}", tensor, error.fields().why));
  }
  settings_.store->ForgetTensorStatistics(key, tensor);
  return std::nullopt;
}

SearchStatistics::Counts SearchStatistics::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace forge::pipeline
