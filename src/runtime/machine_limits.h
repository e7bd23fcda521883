// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge::runtime {

/// Bytes a second that the threads of the pool read from memory together, in long runs and in large pages:
/// the best of a few passes over 256 MiB, which takes about 0.1 s; or the mean of `seconds` of passes, as a
/// machine with a quota of processor time (many virtual ones) gives in the long run.
double MeasureReadBandwidth(double seconds = 0);

/// Floating-point operations a second of fused multiply-adds in registers alone, all threads of the pool
/// together, with the kernels' target, over about `seconds`; 0 for the scalar target. The clock of a busy
/// machine falls within tenths of a second: measure as long as the work that is compared with it.
double MeasureFloatPeak(double seconds = 0.01);

/// The same of multiply-adds of bytes (a multiply-add is two operations): vpdpbusd with AVX-512, vpmaddubsw
/// and a sum in 16 bits with AVX2.
double MeasureInt8Peak(double seconds = 0.01);

}  // namespace forge::runtime
