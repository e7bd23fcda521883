// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge::runtime {

/// Bytes a second that the threads of the pool read from memory together, in long runs: the best of a few
/// passes over 512 MiB. Takes about 0.2 s.
double MeasureReadBandwidth();

/// Floating-point operations a second of fused multiply-adds in registers alone, all threads of the pool
/// together, with the kernels' target; 0 for the scalar target. Takes about 10 ms.
double MeasureFloatPeak();

}  // namespace forge::runtime
