// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/token_index.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// The symbols that merging starts from, and the way from what it leaves to ids. A symbol is the id of a
/// token or, from the number of tokens on, one of the extra symbols of score_merges.h.
class Symbols {
 public:
  /// Refers to `data` and `index`.
  Symbols(const TokenizerData& data, const TokenIndex& index,
          const std::unordered_map<char32_t, int>& extra_symbols);

  /// Adds the symbols of a piece of text, any bytes: of each byte, or of each character. Where spaces are
  /// spelled "▁", a space counts as that sign. What has no symbol becomes byte tokens, else the unknown
  /// token; without either nothing, as in Hugging Face's BPE.
  void Append(std::string_view piece, std::vector<int>& symbols) const;
  /// Turns merged symbols into ids, in place: extra symbols become byte tokens or the unknown token.
  void ToIds(std::vector<int>& symbols) const;

  /// True if the character `code` has a symbol or byte tokens, so that it never becomes the unknown token.
  bool IsKnown(char32_t code) const;

 private:
  int SymbolOf(char32_t code, std::string_view character) const;  // -1: none
  int FindSymbol(char32_t code, std::string_view character) const;
  void AppendFallback(std::string_view bytes, std::vector<int>& ids) const;
  bool HasBytes(std::string_view bytes) const;

  const TokenizerData& data_;
  const TokenIndex& index_;
  std::array<int, 256> byte_ids_;  // -1: the vocabulary lacks this byte
  std::unordered_map<char32_t, int> extra_symbols_;
  std::vector<char32_t> extra_characters_;  // by symbol
  std::vector<int> near_symbols_;           // of the first 65,536 code points, to save look-ups
};

/// The byte that a token such as "<0x0A>" stands for; -1 if it is none.
int ByteOfToken(std::string_view token);

}  // namespace forge::text
