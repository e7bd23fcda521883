// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/native_model.h"
#include "runtime/sampler.h"

namespace forge::runtime {

/// One conversation that goes on: keys and values of its tokens are kept from call to call, so that a prompt
/// that begins as the last text did costs only what is new.
class Session {
 public:
  /// The model must outlive the session.
  explicit Session(const NativeModel& model);

  /// As NativeModel::Generate for one request, and to the same bits. The cache grows with the text, up to
  /// max_position_embeddings.
  model::Generation Generate(const model::GenerateRequest& request, const model::GenerateOptions& options);

  /// Tokens of the last prompt that did not have to be computed again.
  std::size_t reused() const { return reused_; }
  /// Tokens whose keys and values are held, and the bytes they take.
  std::size_t length() const { return held_.size(); }
  std::size_t bytes() const { return cache_.bytes(); }

 private:
  /// Appends tokens, and picks the one after them.
  SampledToken Run(std::span<const int> tokens, const model::GenerateOptions& options, Random& random);

  const NativeModel& model_;
  KeyValueCache cache_;
  std::vector<int> held_;      // the tokens in the cache
  std::vector<float> logits_;  // of the last token, where all are needed
  std::size_t reused_ = 0;
};

}  // namespace forge::runtime
