// SPDX-License-Identifier: Apache-2.0
#include "pipeline/change_products.h"

#include <fmt/format.h>

#include <cmath>

#include "merge/kernels/element_kernels.h"
#include "merge/tensor_statistics.h"

namespace forge::pipeline {
namespace {

std::vector<double> ProductsOf(const merge::MergeSources& sources, const model::TensorSpec& spec) {
  const std::vector<float> base = sources.base->Read(spec).values;
  std::vector<std::vector<float>> changes;
  for (const model::WeightSource* parent : sources.parents) {
    changes.push_back(parent->Read(spec).values);
    std::vector<float>& change = changes.back();
    merge::Elements().subtract({.at = change.data()}, {.at = base.data()}, base.size(), change.data());
  }
  std::vector<double> products(changes.size() * changes.size());
  for (std::size_t p = 0; p < changes.size(); ++p)
    for (std::size_t q = p; q < changes.size(); ++q)
      products[p * changes.size() + q] = products[q * changes.size() + p] =
          merge::Elements().dot({.at = changes[p].data()}, {.at = changes[q].data()}, base.size());
  return products;
}

}  // namespace

ChangeAngles MeasureChangeAngles(const merge::MergeSources& sources) {
  const std::size_t parents = sources.parents.size();
  std::vector<double> sums(parents * parents);
  for (const model::TensorSpec& spec : model::ListTensors(*sources.config)) {
    const auto make = [&] { return ProductsOf(sources, spec); };
    const std::vector<double> products =
        sources.statistics != nullptr ? sources.statistics->ChangeProducts(spec.name, make) : make();
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += products[i];
  }
  ChangeAngles angles;
  for (std::size_t p = 0; p < parents; ++p) angles.lengths.push_back(std::sqrt(sums[p * parents + p]));
  for (std::size_t p = 0; p < parents; ++p) {
    std::vector<double>& row = angles.cosines.emplace_back();
    for (std::size_t q = 0; q < parents; ++q) {
      const double lengths = angles.lengths[p] * angles.lengths[q];
      row.push_back(lengths > 0 ? sums[p * parents + q] / lengths : 0);
    }
  }
  return angles;
}

std::string Describe(const ChangeAngles& angles) {
  std::vector<std::string> cosines;
  for (std::size_t p = 0; p < angles.lengths.size(); ++p)
    for (std::size_t q = p + 1; q < angles.lengths.size(); ++q)
      cosines.push_back(fmt::format("{:.3f}", angles.cosines[p][q]));
  return fmt::format("lengths {:.4g}{}", fmt::join(angles.lengths, ", "),
                     cosines.empty() ? "" : fmt::format("; cosines {}", fmt::join(cosines, ", ")));
}

}  // namespace forge::pipeline
