// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/json_file.h"
#include "merge/config_problems.h"

namespace forge::merge {

/// What a token's row is taken from, instead of what VocabularyPlan would choose.
struct TokenOverride {
  enum class Kind {
    kModel,       // the row of the same token in `model`
    kModelToken,  // the row of another token of `model`: source_token, or source_id
    kZero         // zeros
  };
  std::string token;  // of the result
  Kind kind = Kind::kModel;
  std::string model;         // empty for kZero
  std::string source_token;  // of kModelToken; empty: source_id counts
  int source_id = -1;
  bool force = false;  // also in the models that have the token
};

/// `tokenizer_source: ...` or `tokenizer: {source, tokens, pad_to_multiple_of}`.
struct TokenizerSetting {
  enum class Source { kUnion, kBase, kModel };
  Source source = Source::kUnion;
  std::string model;  // of kModel: a reference
  std::vector<TokenOverride> tokens;
  int pad_to_multiple_of = 0;  // 0: as many rows as tokens
};

/// Reads both spellings from a config, which lies at `path`; nothing if it has neither. Notes that both are
/// there.
std::optional<TokenizerSetting> ReadTokenizerSetting(const io::Json& config, const std::string& path,
                                                     ConfigProblems& problems);

}  // namespace forge::merge
