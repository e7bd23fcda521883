// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "merge/kernels/element_kernels.h"
#include "merge/tensor_task.h"

namespace forge::merge {

/// A part of a tensor that is worked on at once: whole rows, the same of every source.
struct Piece {
  std::size_t index = 0;  // of all pieces of the pass, in the order of the elements
  std::size_t first = 0;  // element of the tensor
  std::size_t size = 0;
  const Values* inputs = nullptr;  // [sources], each [size], all stored alike

  /// Of a source that is float32, as all are for merges that do not read bfloat16.
  const float* Floats(std::size_t source) const { return static_cast<const float*>(inputs[source].at); }
};

/// The exact merge of one tensor: float32 arithmetic with sums in double, one rounding when the result is
/// stored. What a formula needs to know of the whole tensor (norms, thresholds, energies) is gathered in
/// passes over it, then every piece is merged on its own, so that memory holds a few pieces only.
///
/// A caller runs passes while NextPass asks for one, then merges every piece once. Observe and Merge may be
/// called from several threads at once, with pieces begun in the order of their index. The result does not
/// depend on the number of threads.
class TensorMerge {
 public:
  struct Pass {
    bool sample = false;       // short pieces spread over the tensor are enough
    std::size_t num_sums = 0;  // numbers that Observe adds up
  };

  virtual ~TensorMerge() = default;
  /// Whether pieces may come as bfloat16, as their files store them; else they are widened first.
  virtual bool ReadsBFloat16() const { return false; }
  virtual std::optional<Pass> NextPass() { return std::nullopt; }
  /// sums [num_sums], zero at the start: what this piece adds. The caller adds pieces in order of their
  /// index.
  virtual void Observe(const Piece&, std::span<double>) {}
  virtual void EndPass(std::span<const double> /*totals*/) {}
  /// out [piece.size]
  virtual void Merge(const Piece& piece, float* out) = 0;
  /// A piece failed: nobody shall wait for it.
  virtual void Abort() {}
};

/// The merge of this task; `seed` is for the methods that draw random numbers, which are keyed by (seed, name
/// of the tensor, source, element). Throws Error(kInput) for parameters under which the method has no
/// meaning, naming tensor and values; some only show in a pass (NextPass and EndPass throw then).
std::unique_ptr<TensorMerge> MakeTensorMerge(const TensorTask& task, std::uint64_t seed);

/// Reads [first, first + out.size()) of a source of the task. Called from several threads.
using SourceReader = std::function<void(std::size_t source, std::size_t first, std::span<float> out)>;
/// The bfloat16 that [first, first + size) of a source is stored as; nothing where it is stored otherwise.
/// They stay there until the thread asks for the same source again, or longer with `again`: the same piece
/// will be asked for once more. They must be finite, as what SourceReader reads. Called from several threads.
using StoredReader =
    std::function<Values(std::size_t source, std::size_t first, std::size_t size, bool again)>;
/// Takes what a piece became, [piece.size]. Called from several threads, in any order.
using PieceWriter = std::function<void(const Piece& piece, std::span<const float> merged)>;

/// Runs all passes and merges on the thread pool. Needs about MergeBytes of memory. With `find` no float32
/// copy is made of sources that all lie in memory as bfloat16; the result is the same.
void MergeTensor(const TensorTask& task, std::uint64_t seed, const SourceReader& read,
                 const PieceWriter& write, const StoredReader& find = nullptr);

/// Bytes that MergeTensor needs at most: pieces of every source and their changes for each thread, and what
/// finding thresholds counts in.
std::uint64_t MergeBytes(const TensorTask& task, int num_threads);

}  // namespace forge::merge
