// SPDX-License-Identifier: Apache-2.0
#include "text/symbols.h"

#include <algorithm>
#include <charconv>

#include "text/byte_alphabet.h"
#include "text/score_merges.h"
#include "text/utf8.h"

namespace forge::text {

int ByteOfToken(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc() && end == token.data() + 5 ? byte : -1;
}

Symbols::Symbols(const TokenizerData& data, const TokenIndex& index,
                 const std::unordered_map<char32_t, int>& extra_symbols)
    : data_(data), index_(index), extra_symbols_(extra_symbols), extra_characters_(extra_symbols.size()) {
  for (const auto& [code, symbol] : extra_symbols_) extra_characters_[symbol - data.tokens.size()] = code;
  byte_ids_.fill(-1);
  if (data.alphabet == Alphabet::kBytes) {
    for (int byte = 0; byte < 256; ++byte) {
      const auto id = index.Find(SpellByte(static_cast<unsigned char>(byte)));
      if (id && data.types[*id] == TokenType::kNormal) byte_ids_[byte] = *id;
    }
    return;
  }
  near_symbols_.assign(0x10000, -1);
  const auto remember = [&](char32_t code, std::string_view character) {
    if (code < near_symbols_.size()) near_symbols_[code] = FindSymbol(code, character);
  };
  for (const std::string& token : data.tokens)
    if (const Utf8Character first = token.empty() ? Utf8Character{} : DecodeUtf8(token);
        first.valid && first.length == token.size())
      remember(first.code, token);
  for (const auto& [code, symbol] : extra_symbols_) {
    std::string character;
    AppendUtf8(code, character);
    remember(code, character);
  }
  if (data.byte_fallback) {
    for (std::size_t id = 0; id < data.tokens.size(); ++id) {
      const TokenType type = data.types[id];
      const int byte =
          type == TokenType::kNormal || type == TokenType::kByte ? ByteOfToken(data.tokens[id]) : -1;
      if (byte >= 0 && byte_ids_[byte] < 0) byte_ids_[byte] = static_cast<int>(id);
    }
  }
}

int Symbols::SymbolOf(char32_t code, std::string_view character) const {
  return code < near_symbols_.size() ? near_symbols_[code] : FindSymbol(code, character);
}

int Symbols::FindSymbol(char32_t code, std::string_view character) const {
  const auto id = index_.Find(character);
  if (id && (data_.scores.empty() ? data_.types[*id] != TokenType::kUnused : IsPiece(data_.types[*id])))
    return *id;
  const auto extra = extra_symbols_.find(code);
  return extra == extra_symbols_.end() ? -1 : extra->second;
}

void Symbols::Append(std::string_view piece, std::vector<int>& symbols) const {
  if (data_.alphabet == Alphabet::kBytes) {
    for (const char c : piece) AppendFallback({&c, 1}, symbols);
    return;
  }
  const bool spelled = data_.spaces.stage != SpaceSpelling::Stage::kNone;
  while (!piece.empty()) {
    Utf8Character next = DecodeUtf8(piece);
    std::string_view character = piece.substr(0, next.length);
    piece.remove_prefix(next.length);
    if (spelled && character == " ") {
      character = kSpaceSign;
      next.code = U'\u2581';
    }
    const int symbol = next.valid ? SymbolOf(next.code, character) : -1;
    if (symbol >= 0)
      symbols.push_back(symbol);
    else
      AppendFallback(character, symbols);
  }
}

bool Symbols::HasBytes(std::string_view bytes) const {
  return std::all_of(bytes.begin(), bytes.end(),
                     [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; });
}

void Symbols::AppendFallback(std::string_view bytes, std::vector<int>& ids) const {
  if (HasBytes(bytes)) {
    for (const char c : bytes) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  } else if (data_.unknown) {
    ids.push_back(*data_.unknown);
  }
}

bool Symbols::IsKnown(char32_t code) const {
  std::string character;
  AppendUtf8(code, character);
  return SymbolOf(code, character) >= 0 || HasBytes(character);
}

void Symbols::ToIds(std::vector<int>& symbols) const {
  if (!extra_characters_.empty()) {
    std::vector<int> ids;
    std::string character;
    for (const int symbol : symbols) {
      if (symbol < static_cast<int>(data_.tokens.size())) {
        ids.push_back(symbol);
        continue;
      }
      character.clear();
      AppendUtf8(extra_characters_[symbol - data_.tokens.size()], character);
      AppendFallback(character, ids);
    }
    symbols = std::move(ids);
  }
  if (data_.fuse_unknown && data_.unknown)
    symbols.erase(std::unique(symbols.begin(), symbols.end(),
                              [&](int a, int b) { return a == b && a == *data_.unknown; }),
                  symbols.end());
}

}  // namespace forge::text
