// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "io/json_file.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// SentencePiece's remove_extra_whitespaces as Replace normalizers.
struct CollapseStep {
  const char* regex;
  const char* content;
};
inline constexpr CollapseStep kCollapseSteps[] = {{R"(\A +)", ""}, {" +", " "}, {"( |\u2581)+\\z", ""}};

/// tokenizer.json of Hugging Face tokenizers (and tokenizer_config.json, chat_template.jinja beside it) as
/// data. Read are models of the type BPE with
///   normalizer      none, NFC, Prepend "▁", Replace " " by "▁", the three of kCollapseSteps together,
///   sequences pre-tokenizer   none, ByteLevel, Digits, Split (an isolated regular expression), Metaspace,
///   sequences post-processor  none, ByteLevel, TemplateProcessing, sequences decoder         none,
///   ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, sequences
/// Anything else that would change ids or text is Error(kInput) and named. Merges whose two halves cannot be
/// told apart are taken at the space where both halves and the whole are tokens.
TokenizerData ReadTokenizerJson(const std::filesystem::path& path);
TokenizerData ParseTokenizerJson(const io::Json& json, const std::string& source);

/// A tokenizer.json that Hugging Face tokenizers loads, with the same ids. Throws Error(kInput) for what
/// exists in SentencePiece but not there: user-defined pieces, and pieces made of unused pieces or of
/// characters that are no pieces themselves.
io::Json ToTokenizerJson(const TokenizerData& data);

}  // namespace forge::text
