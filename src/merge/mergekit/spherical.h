// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

/// The methods that work with angles. A tensor is one long vector unless it says otherwise.
namespace forge::merge::mergekit {

/// Spherical interpolation (Shoemake 1985) from the base to the one other model, with the angle between
/// their directions but applied to the tensors as they are: sin((1-t) a) / sin(a) * base + sin(t a) / sin(a)
/// * other. Linear where |cos a| > 0.9995, also for opposite directions. A length up to 1e-8 is not divided
/// by, so a zero tensor is at a right angle to everything. t may be outside [0, 1]. In
/// float32 whatever the work type is, rounded once.
void Slerp(const Operands& operands, std::span<float> out);

/// mergekit's own: slerp of two models with t = w_2 / (w_1 + w_2), 0.5 if the weights sum to less than 1e-6;
/// of their changes if there is a base, which the result is added to. `nuslerp_flatten`: one angle for the
/// tensor. Else one for each row, or with `nuslerp_row_wise` one for each column (so in mergekit). Linear
/// where 1 - cos^2 <= 1e-16; opposite vectors that miss this by rounding give noise, as they do in mergekit.
void Nuslerp(const Operands& operands, std::span<float> out);

/// mergekit's own: a step on the sphere. With unit vectors u_m and the direction d of sum_m w_m u_m, the
/// weighted mean of the u_m's parts across d is walked from d along the great circle, which is no more than a
/// rounding, since those parts cancel out: the result is d times sum_m w_m |x_m|. Works on changes if there
/// is a base. One model is returned as it is. Where the weighted sum is shorter than `eps`: w_1 x_1 + w_2 x_2
/// for two models, for more Error(kInput), as mergekit stops. Weights that sum to zero under
/// `normalize_weights` give NaN.
void Multislerp(const Operands& operands, std::span<float> out);

/// Riemannian centre of mass of the directions (Karcher 1977), all of equal weight, times the mean of the
/// lengths. Starts at the normalised mean and takes at most `max_iter` steps along the mean of the
/// logarithmic maps, until one is shorter than `tol`. Inputs of a length up to `tol` have no direction but
/// count in the mean of the lengths. One model is returned as it is. Cost: max_iter passes over all inputs.
void Karcher(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
