// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>
#include <vector>

#include "base/thread_pool.h"
#include "merge/exact/families.h"
#include "merge/exact/tensor_merge.h"

namespace forge::merge {
namespace {

constexpr std::size_t kPieceElements = 1
                                       << 15;  // 128 KiB of float32 a source: a few of them fit the L2 cache
constexpr std::size_t kSamplePieces = 64, kSampleElements = 1 << 12;

/// How a pass cuts the tensor.
struct Cut {
  std::size_t count, size,
      stride;  // piece i starts at element i * stride and has `size`, the last maybe fewer
};

class Buffers {  // of one thread at a time
 public:
  Buffers(std::size_t sources, std::size_t size) : values_((sources + 1) * size), inputs_(sources) {
    for (std::size_t s = 0; s < sources; ++s) inputs_[s] = values_.data() + s * size;
    out_ = values_.data() + sources * size;
  }
  float* input(std::size_t source) { return inputs_[source]; }
  const float* const* inputs() const { return inputs_.data(); }
  float* out() { return out_; }

 private:
  std::vector<float> values_;
  std::vector<float*> inputs_;
  float* out_;
};

/// Buffers that threads borrow, so that no more exist than threads that work.
class BufferPool {
 public:
  BufferPool(std::size_t sources, std::size_t size) : sources_(sources), size_(size) {}
  std::unique_ptr<Buffers> Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<Buffers> buffers = std::move(free_.back());
        free_.pop_back();
        return buffers;
      }
    }
    return std::make_unique<Buffers>(sources_, size_);
  }
  void Give(std::unique_ptr<Buffers> buffers) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(buffers));
  }

 private:
  std::size_t sources_, size_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Buffers>> free_;
};

class Runner {
 public:
  Runner(const TensorTask& task, const SourceReader& read, TensorMerge& merge)
      : task_(task),
        read_(read),
        merge_(merge),
        size_(task.size()),
        piece_(WholeRows(kPieceElements)),
        buffers_(task.sources.size(), std::min(piece_, size_)) {}

  void RunPass(const TensorMerge::Pass& pass) {
    const Cut cut = pass.sample ? Sample() : All();
    std::vector<double> sums(cut.count * pass.num_sums);
    ForPieces(cut, [&](const Piece& piece, Buffers&) {
      merge_.Observe(piece, std::span(sums).subspan(piece.index * pass.num_sums, pass.num_sums));
    });
    std::vector<double> totals(pass.num_sums);
    for (std::size_t i = 0; i < sums.size(); ++i) totals[i % pass.num_sums] += sums[i];
    merge_.EndPass(totals);
  }

  void Merge(const PieceWriter& write) {
    ForPieces(All(), [&](const Piece& piece, Buffers& buffers) {
      merge_.Merge(piece, buffers.out());
      write(piece, std::span<const float>(buffers.out(), piece.size));
    });
  }

 private:
  std::size_t WholeRows(std::size_t elements) const {
    const std::size_t columns = task_.columns();
    return std::max<std::size_t>(1, elements / columns) * columns;
  }
  Cut All() const { return {(size_ + piece_ - 1) / piece_, piece_, piece_}; }
  Cut Sample() const {
    const std::size_t length = WholeRows(kSampleElements);
    if (size_ <= kSamplePieces * length * 2) return All();
    const std::size_t rows = size_ / task_.columns();
    return {kSamplePieces, length, rows / kSamplePieces * task_.columns()};
  }

  template <class Use>
  void ForPieces(const Cut& cut, const Use& use) {
    ThreadPool::Global().Run(cut.count, [&](std::size_t index) {
      std::unique_ptr<Buffers> buffers = buffers_.Take();
      try {
        const std::size_t first = index * cut.stride;
        const Piece piece{.index = index,
                          .first = first,
                          .size = std::min(cut.size, size_ - first),
                          .inputs = buffers->inputs()};
        for (std::size_t s = 0; s < task_.sources.size(); ++s)
          read_(s, first, std::span<float>(buffers->input(s), piece.size));
        use(piece, *buffers);
      } catch (...) {
        merge_.Abort();
        throw;
      }
      buffers_.Give(std::move(buffers));
    });
  }

  const TensorTask& task_;
  const SourceReader& read_;
  TensorMerge& merge_;
  std::size_t size_, piece_;
  BufferPool buffers_;
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
                 const PieceWriter& write) {
  const std::unique_ptr<TensorMerge> merge = MakeTensorMerge(task, seed);
  Runner runner(task, read, *merge);
  while (const auto pass = merge->NextPass()) runner.RunPass(*pass);
  runner.Merge(write);
}

std::uint64_t MergeBytes(const TensorTask& task, int num_threads) {
  const std::uint64_t columns = task.columns(), sources = task.sources.size();
  const std::uint64_t piece = std::max<std::uint64_t>(1, kPieceElements / columns) * columns * sizeof(float);
  constexpr std::uint64_t kBins = 4 << 20;  // of a threshold and a thread (MagnitudeThreshold)
  const std::uint64_t thresholds = task.method->family == MethodFamily::kLinearCombination ? 0 : sources;
  const std::uint64_t rows = task.method->name == "arcee_fusion" ? task.size() / columns * sizeof(double) : 0;
  return static_cast<std::uint64_t>(num_threads) * (piece * (2 * sources + 2) + thresholds * kBins) + rows;
}

}  // namespace forge::merge
