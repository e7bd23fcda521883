// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/transformer.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace forge::serve {

/// What the server needs of a model. All must outlive the server; all is used from several threads.
struct ServedModel {
  std::string name;  // in /v1/models
  const runtime::Transformer& transformer;
  const text::Tokenizer& tokenizer;
  const text::ChatFormat* chat = nullptr;  // none: it was not trained for conversations
  std::vector<int> stop_token_ids;
  /// The ids of a text to go on from, with bos in front where the model was trained so.
  std::function<std::vector<int>(std::string_view)> encode;

  int context() const { return transformer.config().max_position_embeddings; }
};

}  // namespace forge::serve
