// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/merge_table.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// Byte-level BPE, as GPT-2, SmolLM2, Qwen2 and Llama 3 use it: text in, token ids out, and back without
/// loss. Everything is const after construction and may be used from several threads.
class Tokenizer {
 public:
  /// Reads a tokenizer.json of Hugging Face tokenizers, and bos, eos, pad and the chat template from a
  /// tokenizer_config.json (or chat_template.jinja) beside it. Throws Error(kInput) for a kind forge does not
  /// know.
  static std::unique_ptr<Tokenizer> FromFile(const std::filesystem::path& tokenizer_json);
  /// Throws Error(kInput), naming `source`, if the data do not fit together (a merge of unknown tokens, ...).
  explicit Tokenizer(TokenizerData data, const std::string& source = "the tokenizer");

  /// The ids of `text`, any bytes. User-defined tokens in the text ("<tool_call>") always become their id;
  /// control tokens ("<|im_end|>") only if `parse_special`, so that foreign text cannot smuggle them in. Adds
  /// no bos.
  std::vector<int> Encode(std::string_view text, bool parse_special = false) const;
  /// The bytes of the tokens. Ids beyond the vocabulary (rows that only pad the embedding) give nothing.
  std::string Decode(std::span<const int> ids, bool skip_special = false) const;
  /// What one id adds to the text; may be part of a UTF-8 character. Empty for ids beyond the vocabulary.
  std::string TokenBytes(int id) const;
  /// The id of a token in its file spelling ("Ġthe", "<|im_end|>").
  std::optional<int> IdOf(std::string_view token) const;
  /// Number of ids; the model's vocab_size may be larger.
  int size() const { return static_cast<int>(data_.tokens.size()); }
  bool IsControl(int id) const;

  const TokenizerData& data() const { return data_; }

 private:
  struct Special {
    std::string text;
    int id;
    bool is_control;
  };
  void IndexTokens(const std::string& source);
  MergeTable BuildMerges(const std::string& source) const;
  void EncodePlain(std::string_view text, std::vector<int>& ids) const;
  const Special* SpecialAt(std::string_view text, std::size_t position, bool parse_special) const;

  TokenizerData data_;
  std::unordered_map<std::string_view, int> ids_;        // views into data_.tokens
  std::vector<std::string> bytes_;                       // by id
  std::array<int, 256> byte_ids_;                        // -1: the vocabulary lacks this byte
  std::array<std::vector<Special>, 256> specials_;       // by first byte, the longest first
  std::unordered_map<std::string_view, int> whole_ids_;  // bytes to id; only with ignore_merges
  PreTokenizer pre_tokenizer_;
  MergeTable merges_;
};

}  // namespace forge::text
