// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

[[noreturn]] void Fail(const std::string& source, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the tokenizer of " + source,
               .why = std::move(why),
               .fix = "copy the tokenizer of this model again"});
}

bool IsPlainText(TokenType type) { return type == TokenType::kControl || type == TokenType::kUserDefined; }

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::FromFile(const std::filesystem::path& tokenizer_json) {
  return std::make_unique<Tokenizer>(ReadTokenizerJson(tokenizer_json), tokenizer_json.string());
}

Tokenizer::Tokenizer(TokenizerData data, const std::string& source)
    : data_(std::move(data)),
      pre_tokenizer_(data_.split_patterns, source),
      merges_((IndexTokens(source), BuildMerges(source))) {}

void Tokenizer::IndexTokens(const std::string& source) {
  if (data_.tokens.empty() || data_.types.size() != data_.tokens.size())
    Fail(source, fmt::format("it has {} tokens and {} token types", data_.tokens.size(), data_.types.size()));
  byte_ids_.fill(-1);
  ids_.reserve(data_.tokens.size());
  bytes_.reserve(data_.tokens.size());
  for (int id = 0; id < size(); ++id) {
    const std::string& token = data_.tokens[id];
    const TokenType type = data_.types[id];
    ids_.emplace(token, id);
    bytes_.push_back(type == TokenType::kUnused ? ""
                     : IsPlainText(type)        ? token
                                                : BytesOfSpelling(token).value_or(token));
    if (type == TokenType::kNormal && bytes_.back().size() == 1)
      byte_ids_[static_cast<unsigned char>(bytes_.back()[0])] = id;
    if (IsPlainText(type) && !token.empty())
      specials_[static_cast<unsigned char>(token[0])].push_back({token, id, type == TokenType::kControl});
  }
  for (std::vector<Special>& bucket : specials_)
    std::stable_sort(bucket.begin(), bucket.end(),
                     [](const Special& a, const Special& b) { return a.text.size() > b.text.size(); });
  if (data_.ignore_merges)
    for (int id = 0; id < size(); ++id)
      if (data_.types[id] == TokenType::kNormal) whole_ids_.emplace(bytes_[id], id);
}

MergeTable Tokenizer::BuildMerges(const std::string& source) const {
  std::vector<MergeTable::Merge> merges;
  merges.reserve(data_.merges.size());
  const auto id_of = [&](const std::string& token, std::size_t rank) {
    const auto found = ids_.find(token);
    if (found == ids_.end())
      Fail(source, fmt::format("merge {} needs \"{}\", which is not a token", rank, token));
    return found->second;
  };
  for (const auto& [left, right] : data_.merges) {
    const std::size_t rank = merges.size();
    merges.push_back({id_of(left, rank), id_of(right, rank), id_of(left + right, rank)});
  }
  return MergeTable(merges);
}

const Tokenizer::Special* Tokenizer::SpecialAt(std::string_view text, std::size_t position,
                                               bool parse_special) const {
  for (const Special& special : specials_[static_cast<unsigned char>(text[position])])
    if ((parse_special || !special.is_control) && text.substr(position).starts_with(special.text))
      return &special;
  return nullptr;
}

std::vector<int> Tokenizer::Encode(std::string_view text, bool parse_special) const {
  std::vector<int> ids;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Special* special = SpecialAt(text, i, parse_special);
    if (special == nullptr) {
      ++i;
      continue;
    }
    EncodePlain(text.substr(begin, i - begin), ids);
    ids.push_back(special->id);
    begin = i += special->text.size();
  }
  EncodePlain(text.substr(begin), ids);
  return ids;
}

void Tokenizer::EncodePlain(std::string_view text, std::vector<int>& ids) const {
  const std::string normalized = data_.nfc ? NormalizeNfc(text) : std::string();
  std::vector<int> word;
  for (const std::string_view piece : pre_tokenizer_.Split(data_.nfc ? std::string_view(normalized) : text)) {
    if (const auto found = whole_ids_.find(piece); found != whole_ids_.end()) {
      ids.push_back(found->second);
      continue;
    }
    word.clear();
    for (const char c : piece) {
      const int id = byte_ids_[static_cast<unsigned char>(c)];
      if (id >= 0) {
        word.push_back(id);
      } else if (data_.unknown) {  // without an unknown token, such a byte is left out, as in Hugging Face's
                                   // BPE
        word.push_back(*data_.unknown);
      }
    }
    merges_.Apply(word);
    ids.insert(ids.end(), word.begin(), word.end());
  }
}

std::string Tokenizer::Decode(std::span<const int> ids, bool skip_special) const {
  std::string text;
  for (const int id : ids)
    if (id >= 0 && id < size() && !(skip_special && IsControl(id))) text += bytes_[id];
  return text;
}

std::string Tokenizer::TokenBytes(int id) const { return Decode(std::span(&id, 1)); }

std::optional<int> Tokenizer::IdOf(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

bool Tokenizer::IsControl(int id) const {
  return id >= 0 && id < size() && data_.types[id] == TokenType::kControl;
}

}  // namespace forge::text
