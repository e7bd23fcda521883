// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

namespace forge::train {

/// Texts of one micro-batch and what is to be learned at each position. Position t stands for the prediction
/// of token t from the tokens before it; position 0 is never predicted.
struct TokenBatch {
  int rows = 0, length = 0;
  std::vector<int> tokens;  // [rows, length]; rows shorter than length are filled with any id, at weight 0

  /// Weight of -log p(token t): [rows, length], or empty.
  std::vector<float> token_weights;
  /// Weight of KL(teacher || model) at position t: [rows, length], or empty. Needs TrainJob::teacher, or what
  /// follows.
  std::vector<float> teacher_weights;
  /// What is known of a teacher that is not there: its top_k likeliest tokens at each position and their
  /// probabilities, [rows, length, top_k], ids of a position distinct. All other tokens together have what is
  /// left to 1, and the divergence takes them as one. Only TuneJob takes them.
  int top_k = 0;
  std::vector<int> top_ids;
  std::vector<float> top_probabilities;
  /// Weight of KL(given distribution || model) at single positions.
  struct SoftTarget {
    int row, position;
    float weight;
    std::vector<std::pair<int, float>>
        probabilities;  // (token, probability); the rest of the vocabulary has 0
  };
  std::vector<SoftTarget> soft_targets;
  /// Position of each token in its document: [rows, length], or empty when each row is one document. 0 starts
  /// a document, which sees nothing of those before it in the row. Only TuneJob takes it.
  std::vector<int> positions;
};

}  // namespace forge::train
