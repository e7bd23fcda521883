// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "merge/exact/magnitude_table.h"

namespace forge::merge {

/// What recipes over the same models need to know of a tensor again and again, whatever their coefficients
/// are: it depends on the models alone. Whoever implements it decides how long it is kept.
class TensorStatistics {
 public:
  virtual ~TensorStatistics() = default;
  /// Of the change from the base to a parent of MergeSources. Stays where it is as long as this object lives.
  /// `change` has `size` values, those of the tensor; it is only read where the table is not known. May be
  /// called from several threads.
  virtual const MagnitudeTable& Magnitudes(std::size_t parent, const std::string& tensor,
                                           const Change& change, std::size_t size) = 0;
  /// Of the changes of all parents: [parents, parents], sum over i of d_p[i] d_q[i] (the Gram matrix of model
  /// stock, arXiv:2403.19522, and of angles). `make` is only called where they are not known.
  virtual std::vector<double> ChangeProducts(const std::string& tensor,
                                             const std::function<std::vector<double>()>& make) = 0;
};

}  // namespace forge::merge
