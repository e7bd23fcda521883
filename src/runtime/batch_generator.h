// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/philox.h"
#include "model/language_model.h"
#include "runtime/forward_step.h"
#include "runtime/prefix_tree.h"
#include "runtime/sampler.h"

namespace forge::runtime {

/// Generates for many prompts at once by continuous batching (Orca, OSDI 2022): every step runs the new
/// tokens of all active sequences in one forward pass, and a prompt takes the place of a sequence as soon as
/// that ends. What prompts have in common at the beginning (the examples of a task, the prompt of several
/// samples) is computed and held once. A sequence gets the same bits as it would alone.
class BatchGenerator {
 public:
  /// For requests[i] of every i in `order`, which is as OrderByTokens gives it. Prompts and options are
  /// checked already. All must outlive the generator.
  BatchGenerator(const Transformer& transformer, std::span<const model::GenerateRequest> requests,
                 std::span<const std::size_t> order, const model::GenerateOptions& options);

  /// Sets results[i] for every i of the order. Once.
  void Run(std::span<model::Generation> results);

 private:
  /// A common beginning: what `parent` holds, then the tokens [start, end) of the prompts that begin so.
  struct Beginning {
    int parent;  // -1: none
    std::size_t start, end;
    std::size_t uses;                      // sequences that still need it
    std::shared_ptr<KeyValueCache> cache;  // from its first sequence to its last
  };
  struct Active {
    std::size_t index;  // of the request
    int beginning;      // that it stands on; -1: none
    std::unique_ptr<KeyValueCache> cache;
    std::vector<int> pending;  // tokens that are not in the cache yet
    Random random;
    int limit;  // tokens that it may get
  };
  void FindBeginnings();
  /// Lets waiting prompts in as far as the room goes; the beginnings that they are the first to need go into
  /// `step`.
  void Admit(ForwardStep& step);
  void Hold(int beginning, std::span<const int> prompt, ForwardStep& step);
  void LetGo(Active& sequence);
  /// Gives a sequence its next token; whether it goes on.
  bool Take(Active& sequence, const SampledToken& sampled, model::Generation& result);

  const Transformer& transformer_;
  std::span<const model::GenerateRequest> requests_;
  std::span<const std::size_t> order_;  // requests with common beginnings are neighbours
  const model::GenerateOptions& options_;
  std::vector<int> beginning_of_;      // by place in order_
  std::vector<Beginning> beginnings_;  // a parent comes before its children
  std::deque<Active> active_;
  std::size_t next_ = 0, cache_bytes_ = 0;
};

}  // namespace forge::runtime
