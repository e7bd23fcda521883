// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "model/language_model.h"
#include "runtime/transformer.h"

namespace forge::runtime {

/// The native engine: evaluates candidates, generates, serves. No libtorch.
class NativeModel : public model::LanguageModel {
 public:
  explicit NativeModel(PackedWeights weights);
  /// Packed as `options` say; if they say nothing: float32, and the linears in `ternary` as they are.
  NativeModel(const model::ModelConfig& config, const model::ModelWeights& weights,
              const PackOptions& options = {}, const model::TernaryWeights& ternary = {});

  const model::ModelConfig& config() const override { return transformer_.config(); }
  std::vector<std::vector<std::vector<float>>> Score(std::span<const model::ScoreRequest> requests) override;
  void VisitScores(std::span<const model::ScoredSequence> sequences,
                   const model::ScoreVisitor& visit) const override;
  std::vector<model::Generation> Generate(std::span<const model::GenerateRequest> requests,
                                          const model::GenerateOptions& options) override;
  std::vector<float> Logits(std::span<const int> tokens) override;

  /// The final-normed state after the last token of each sequence: [sequences, hidden_size].
  std::vector<float> LastHidden(std::span<const std::vector<int>> sequences);
  /// logits [rows, vocab_size] of hidden states [rows, hidden_size].
  std::vector<float> HeadLogits(std::span<const float> hidden_states);

  /// Transformer::ObserveLinearInputs. Small models run several requests on several threads: give one
  /// sequence a call (LastHidden) to see them in order.
  void ObserveLinearInputs(LinearObserver observer) { transformer_.ObserveLinearInputs(std::move(observer)); }

  /// Throws Error(kInput) for an empty text, one that is too long, and ids beyond the vocabulary.
  void CheckTokens(std::span<const int> tokens) const;
  const Transformer& transformer() const { return transformer_; }

  std::size_t weight_bytes() const { return transformer_.weight_bytes(); }

 private:
  /// Runs work(first, last) over [0, count): cut over the pool's threads for small models, whose single
  /// products are too short to be cut themselves; in one piece for large ones.
  void Shard(std::size_t count, const std::function<void(std::size_t, std::size_t)>& work) const;
  void VisitGroup(std::span<const model::ScoredSequence> sequences, std::span<const std::size_t> order,
                  const model::ScoreVisitor& visit) const;

  Transformer transformer_;
};

}  // namespace forge::runtime
