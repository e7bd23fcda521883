// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/merge_table.h"
#include "text/pre_tokenizer.h"
#include "text/score_merges.h"
#include "text/symbols.h"
#include "text/token_index.h"
#include "text/tokenizer_data.h"
#include "text/word_cache.h"

namespace forge::text {

/// BPE: text in, token ids out, and back. Byte-level as GPT-2, SmolLM2, Qwen2 and Llama 3 use it, or over
/// characters with "▁" for a space as Llama 2 does. May be used from several threads.
///
/// Speed: every piece of text (about a word) is merged once and remembered, in one cache for each thread that
/// encodes at the same time (word_cache.h); merging n symbols costs O(n log n), decoding the bytes it gives.
class Tokenizer {
 public:
  /// Reads a tokenizer.json of Hugging Face tokenizers, and bos, eos, pad and the chat template from a
  /// tokenizer_config.json (or chat_template.jinja) beside it. Throws Error(kInput) for a kind forge does not
  /// know.
  static std::unique_ptr<Tokenizer> FromFile(const std::filesystem::path& tokenizer_json);
  /// Throws Error(kInput), naming `source`, if the data do not fit together (ids beyond the tokens, ...).
  explicit Tokenizer(TokenizerData data, const std::string& source = "the tokenizer");
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// The ids of `text`, any bytes. User-defined tokens in the text ("<tool_call>") always become their id;
  /// control tokens ("<|im_end|>") only if `parse_special`, so that foreign text cannot smuggle them in. Adds
  /// no bos.
  std::vector<int> Encode(std::string_view text, bool parse_special = false) const;
  /// The ids with what the tokenizer's template puts around a text: bos in front, eos after it, or nothing.
  std::vector<int> WithTemplate(std::vector<int> ids) const;
  /// The ids without what WithTemplate adds, on each side where it is there. A part of `ids`.
  std::span<const int> WithoutTemplate(std::span<const int> ids) const;
  /// The bytes of the tokens. Ids beyond the vocabulary (rows that only pad the embedding) give nothing. A
  /// tokenizer that puts a space before the text (Llama 2) takes one away from its start.
  std::string Decode(std::span<const int> ids, bool skip_special = false) const;
  /// What one id adds to the text, with its space; may be part of a UTF-8 character. Empty for ids beyond the
  /// vocabulary.
  std::string TokenBytes(int id) const { return std::string(BytesOf(id)); }
  /// The id of a token in its file spelling ("Ġthe", "▁the", "<|im_end|>").
  std::optional<int> IdOf(std::string_view token) const { return index_.Find(token); }
  /// Number of ids; the model's vocab_size may be larger.
  int size() const { return static_cast<int>(data_.tokens.size()); }
  bool IsControl(int id) const;

  const TokenizerData& data() const { return data_; }

 private:
  /// What one encoding thread works with; kept for the next one.
  struct Workspace {
    WordCache words;
    MergeTable::Scratch merging;
    std::vector<int> symbols;
    std::string normalized, prefixed;
  };
  /// A workspace for the length of one call.
  struct WorkspaceLoan {
    explicit WorkspaceLoan(const Tokenizer& lender);
    ~WorkspaceLoan();
    const Tokenizer& owner;
    std::unique_ptr<Workspace> workspace;
  };

  MergeTable MakeMerges() const;
  void StoreBytes();
  std::string_view BytesOf(int id) const;

  // Each adds the ids of its text to `ids`.
  void EncodeStretch(std::string_view text, bool at_start, bool parse_special, Workspace& work,
                     std::vector<int>& ids) const;
  void EncodePlain(std::string_view text, bool prefix, Workspace& work, std::vector<int>& ids) const;
  void EncodeSpacedText(std::string_view text, bool prefix, Workspace& work, std::vector<int>& ids) const;
  void EncodePiece(std::string_view piece, Workspace& work, std::vector<int>& ids) const;
  bool TakesPrefix(std::string_view stretch, bool at_start) const;
  std::optional<int> WholeToken(std::string_view piece) const;

  TokenizerData data_;
  TokenIndex index_;
  ScoreMerges scored_;  // its rules only until merges_ is made
  Symbols symbols_;
  MergeTable merges_;
  PreTokenizer pre_tokenizer_;
  AddedTokens added_;
  bool cuts_at_spaces_ = false;
  std::string bytes_;                      // of all tokens
  std::vector<std::uint32_t> bytes_from_;  // by id, and the end

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace forge::text
