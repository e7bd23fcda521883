// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "merge/exact/families.h"
#include "merge/exact/tensor_merge.h"

namespace forge::merge {
namespace {

constexpr std::size_t kPieceElements = 1
                                       << 15;  // 128 KiB of float32 a source: a few of them fit the L2 cache
constexpr std::size_t kSamplePieces = 64, kSampleElements = 1 << 10, kSampledPart = 8;

/// How a pass cuts the tensor.
struct Cut {
  std::size_t count, size,
      stride;  // piece i starts at element i * stride and has `size`, the last maybe fewer
};

/// What a thread works in, kept from one tensor to the next.
struct Buffers {
  std::vector<float> widened, out;
  std::vector<Values> inputs;
};

Buffers& OfThisThread() {
  thread_local Buffers buffers;
  return buffers;
}

class Runner {
 public:
  Runner(const TensorTask& task, const SourceReader& read, const StoredReader& find, TensorMerge& merge)
      : task_(task),
        read_(read),
        find_(find),
        merge_(merge),
        size_(task.size()),
        piece_(WholeRows(kPieceElements)) {}

  void RunPass(const TensorMerge::Pass& pass) {
    const Cut cut = pass.sample ? Sample() : All();
    std::vector<double> sums(cut.count * pass.num_sums);
    ForPieces(cut, !pass.sample, [&](const Piece& piece) {
      merge_.Observe(piece, std::span(sums).subspan(piece.index * pass.num_sums, pass.num_sums));
    });
    std::vector<double> totals(pass.num_sums);
    for (std::size_t i = 0; i < sums.size(); ++i) totals[i % pass.num_sums] += sums[i];
    merge_.EndPass(totals);
  }

  void Merge(const PieceWriter& write) {
    ForPieces(All(), false, [&](const Piece& piece) {
      std::vector<float>& out = OfThisThread().out;
      out.resize(std::max(out.size(), piece.size));
      merge_.Merge(piece, out.data());
      write(piece, std::span<const float>(out.data(), piece.size));
    });
  }

 private:
  std::size_t WholeRows(std::size_t elements) const {
    const std::size_t columns = task_.columns();
    return std::max<std::size_t>(1, elements / columns) * columns;
  }
  Cut All() const { return {(size_ + piece_ - 1) / piece_, piece_, piece_}; }
  Cut Sample() const {
    const std::size_t rows = size_ / task_.columns(),
                      sampled = std::min(size_ / kSampledPart, kSamplePieces * kSampleElements);
    const std::size_t count =
        std::min({kSamplePieces, rows, std::max<std::size_t>(1, sampled / task_.columns())});
    return {count, WholeRows(sampled / count), rows / count * task_.columns()};
  }

  /// again: another pass over the same pieces follows.
  template <class Use>
  void ForPieces(const Cut& cut, bool again, const Use& use) {
    ThreadPool::Global().Run(cut.count, [&](std::size_t index) {
      try {
        const std::size_t first = index * cut.stride;
        Piece piece{.index = index, .first = first, .size = std::min(cut.size, size_ - first)};
        std::vector<Values>& inputs = OfThisThread().inputs;
        inputs.resize(task_.sources.size());
        if (!FindStored(piece, again, inputs)) Widen(piece, inputs);
        piece.inputs = inputs.data();
        use(piece);
      } catch (...) {
        merge_.Abort();
        throw;
      }
    });
  }

  /// Whether all sources are stored as bfloat16.
  bool FindStored(const Piece& piece, bool again, std::vector<Values>& inputs) const {
    if (!find_ || !merge_.ReadsBFloat16()) return false;
    for (std::size_t s = 0; s < inputs.size(); ++s) {
      inputs[s] = find_(s, piece.first, piece.size, again);
      if (inputs[s].at == nullptr) return false;
    }
    return true;
  }

  void Widen(const Piece& piece, std::vector<Values>& inputs) const {
    std::vector<float>& widened = OfThisThread().widened;
    widened.resize(std::max(widened.size(), inputs.size() * piece.size));
    for (std::size_t s = 0; s < inputs.size(); ++s) {
      const std::span<float> values = std::span(widened).subspan(s * piece.size, piece.size);
      read_(s, piece.first, values);
      inputs[s] = {.at = values.data()};
    }
  }

  const TensorTask& task_;
  const SourceReader& read_;
  const StoredReader& find_;
  TensorMerge& merge_;
  std::size_t size_, piece_;
};

}  // namespace

std::unique_ptr<TensorMerge> MakeTensorMerge(const TensorTask& task, std::uint64_t seed) {
  switch (task.method->family) {
    case MethodFamily::kLinearCombination:
      return MakeLinearCombination(task);
    case MethodFamily::kTaskArithmetic:
      return MakeTaskArithmetic(task, seed);
    case MethodFamily::kElementwise:
      return MakeElementwise(task);
  }
  return nullptr;
}

void MergeTensor(const TensorTask& task, std::uint64_t seed, const SourceReader& read,
                 const PieceWriter& write, const StoredReader& find) {
  const std::unique_ptr<TensorMerge> merge = MakeTensorMerge(task, seed);
  Runner runner(task, read, find, *merge);
  while (const auto pass = merge->NextPass()) runner.RunPass(*pass);
  runner.Merge(write);
}

std::uint64_t MergeBytes(const TensorTask& task, int num_threads) {
  const std::uint64_t columns = task.columns(), sources = task.sources.size();
  const std::uint64_t piece = std::max<std::uint64_t>(1, kPieceElements / columns) * columns * sizeof(float);
  constexpr std::uint64_t kBins = 5 << 20;  // of a threshold and a thread (MagnitudeThreshold)
  const std::uint64_t thresholds = task.method->family == MethodFamily::kLinearCombination ? 0 : sources;
  const std::uint64_t rows = task.method->name == "arcee_fusion" ? task.size() / columns * sizeof(double) : 0;
  const bool draws = task.method->name.starts_with("dare") || task.method->name.starts_with("della");
  const std::uint64_t bits =
      draws ? task.size() / 8 * sources : 0;  // what was drawn, from one pass to the next
  return static_cast<std::uint64_t>(num_threads) * (piece * (2 * sources + 2) + thresholds * kBins) + rows +
         bits;
}

}  // namespace forge::merge
