// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "runtime/kv_cache.h"

namespace forge::runtime {

struct TokenInput {
  int token;
  int sequence;  // index into the caches of the call
  int position;  // in that sequence; tokens of one sequence come in order and without gaps
};

/// Causal softmax attention with grouped queries, softmax(q K^T / sqrt(head_dim)) V, for the tokens `rows`
/// (ascending indices into `tokens`) over their caches, which hold the keys and values of all tokens of the
/// call already.
///   queries: row of a token at queries + index * query_stride, [num_attention_heads, head_dim] with rotary
///   positions attended [rows.size(), num_attention_heads * head_dim]
/// Neighbouring tokens of one sequence, and the heads that share keys, are the rows of one matrix product.
/// What a row gets does not depend on its company. On the global thread pool.
void Attend(const model::ModelConfig& config, int layer, std::span<const TokenInput> tokens,
            std::span<const int> rows, std::span<KeyValueCache* const> caches, const float* queries,
            std::size_t query_stride, float* attended);

}  // namespace forge::runtime
