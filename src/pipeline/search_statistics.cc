// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_statistics.h"

#include <fmt/format.h>

#include <span>

#include "base/check.h"
#include "base/error.h"
#include "io/sha256.h"

namespace forge::pipeline {
namespace {

// They name how rows are made, so that another way gets rows of its own.
constexpr const char* kMagnitudes = "magnitudes, 512 ranks, 256 bins an octave";
constexpr const char* kProducts = "products of changes";

std::string KeyOf(const char* kind, const std::string& parents, const std::string& base) {
  const std::string all = fmt::format("{}\n{}\n{}", kind, parents, base);
  return io::Sha256(std::as_bytes(std::span(all)));
}

[[noreturn]] void RefuseRow(const char* why) {
  throw Error({.what = "cannot use kept statistics", .why = why, .fix = "they are made again"});
}

}  // namespace

SearchStatistics::SearchStatistics(Settings settings) : settings_(std::move(settings)) {
  for (const std::string& parent : settings_.parent_hashes)
    keys_.push_back(KeyOf(kMagnitudes, parent, settings_.base_hash));
  products_key_ =
      KeyOf(kProducts, fmt::format("{}", fmt::join(settings_.parent_hashes, "\n")), settings_.base_hash);
}

const merge::MagnitudeTable& SearchStatistics::Magnitudes(std::size_t parent, const std::string& tensor,
                                                          const merge::Change& change, std::size_t size) {
  const std::pair place{parent, tensor};
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = tables_.find(place); found != tables_.end()) return found->second;
  }
  // Two threads may both come here for one tensor: they make the same table, and one of them is kept.
  std::optional<merge::MagnitudeTable> table = FindRow(keys_.at(parent), tensor, [&](const track::Json& row) {
    merge::MagnitudeTable read(row.at("size").get<std::size_t>(),
                               row.at("bins").get<std::vector<std::uint16_t>>());
    if (read.size() != size) RefuseRow("they are of another size");
    return read;
  });
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

std::vector<double> SearchStatistics::ChangeProducts(const std::string& tensor,
                                                     const std::function<std::vector<double>()>& make) {
  const std::size_t count = keys_.size() * keys_.size();
  auto products = FindRow(products_key_, tensor, [&](const track::Json& row) {
    auto read = row.at("products").get<std::vector<double>>();
    if (read.size() != count) RefuseRow("they are of another number of models");
    return read;
  });
  const bool is_found = products.has_value();
  if (!is_found) {
    products = make();
    FORGE_CHECK(products->size() == count);
    if (settings_.store != nullptr)
      settings_.store->KeepTensorStatistics(products_key_, tensor, {{"products", *products}});
  }
  const std::lock_guard lock(mutex_);
  ++(is_found ? counts_.products_found : counts_.products_made);
  return *std::move(products);
}

template <class Read>
auto SearchStatistics::FindRow(const std::string& key, const std::string& tensor, const Read& read)
    -> std::optional<decltype(read(track::Json()))> {
  if (settings_.store == nullptr) return std::nullopt;
  try {
    const std::optional<track::Json> row = settings_.store->FindTensorStatistics(key, tensor);
    if (!row) return std::nullopt;
    return read(*row);
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
