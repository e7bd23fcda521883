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

using Stage = SpaceSpelling::Stage;
using Prefix = SpaceSpelling::Prefix;

[[noreturn]] void Fail(const std::string& source, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the tokenizer of " + source,
               .why = std::move(why),
               .fix = "copy the tokenizer of this model again"});
}

/// Every rule on the data that the members rely on. Returns the data.
TokenizerData Checked(TokenizerData data, const std::string& source) {
  constexpr std::size_t kMaxPiece =
      1024;  // bytes; longer ones would take the square of their length to split
  const std::size_t count = data.tokens.size();
  if (count == 0 || data.types.size() != count)
    Fail(source, fmt::format("it has {} tokens and {} token types", count, data.types.size()));
  const auto check = [&](int id, const char* what) {
    if (id < 0 || static_cast<std::size_t>(id) >= count)
      Fail(source, fmt::format("{} is token {}; there are the tokens 0 to {}", what, id, count - 1));
  };
  for (const Merge& merge : data.merges)
    for (const int id : {merge.left, merge.right, merge.result}) check(id, "part of a merge");
  for (const std::vector<int>* ids : {&data.before, &data.after})
    for (const int id : *ids) check(id, "part of the template around a text");
  if (data.unknown) check(*data.unknown, "the unknown token");
  if (data.scores.empty()) return data;
  if (data.scores.size() != count)
    Fail(source, fmt::format("it has {} tokens and {} scores", count, data.scores.size()));
  for (std::size_t id = 0; id < count; ++id)
    if (data.tokens[id].size() > kMaxPiece)
      Fail(source, fmt::format("token {} has {} bytes; forge splits at most {}", id, data.tokens[id].size(),
                               kMaxPiece));
  return data;
}

/// True if no token holds "▁" after another character: then no merge crosses the place before the first "▁"
/// of a run, and text can be cut there without changing the ids.
bool SpacesOnlyStartTokens(const TokenizerData& data) {
  const std::string_view sign = kSpaceSign;
  return std::all_of(data.tokens.begin(), data.tokens.end(), [&](std::string_view token) {
    while (token.starts_with(sign)) token.remove_prefix(sign.size());
    return token.find(sign) == std::string_view::npos;
  });
}

bool StartsWithSpace(std::string_view text) { return text.starts_with(' ') || text.starts_with(kSpaceSign); }

/// Bytes of the space, " " or "▁", at `position`; 0 if there is none.
std::size_t SpaceAt(std::string_view text, std::size_t position) {
  if (text[position] == ' ') return 1;
  const std::string_view sign = kSpaceSign;
  return text[position] == sign[0] && text.substr(position).starts_with(sign) ? sign.size() : 0;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::FromFile(const std::filesystem::path& tokenizer_json) {
  return std::make_unique<Tokenizer>(ReadTokenizerJson(tokenizer_json), tokenizer_json.string());
}

Tokenizer::Tokenizer(TokenizerData data, const std::string& source)
    : data_(Checked(std::move(data), source)),
      index_(data_.tokens),
      scored_(data_.scores.empty() ? ScoreMerges{} : MergesOfScores(data_, index_)),
      symbols_(data_, index_, scored_.extra_symbols),
      merges_(MakeMerges()),
      pre_tokenizer_(data_.split_patterns, source),
      added_(data_) {
  scored_.rules = {};
  StoreBytes();
  cuts_at_spaces_ = data_.spaces.cut || (symbols_.IsKnown(U'\u2581') && SpacesOnlyStartTokens(data_));
}

MergeTable Tokenizer::MakeMerges() const {
  if (!data_.scores.empty()) {
    std::vector<bool> unused;
    if (std::find(data_.types.begin(), data_.types.end(), TokenType::kUnused) != data_.types.end())
      for (const TokenType type : data_.types) unused.push_back(type == TokenType::kUnused);
    return MergeTable(scored_.rules, std::move(unused));
  }
  std::vector<MergeTable::Rule> rules;
  rules.reserve(data_.merges.size());
  for (const Merge& merge : data_.merges)
    rules.push_back({merge.left, merge.right, merge.result, static_cast<std::uint32_t>(rules.size())});
  return MergeTable(rules);
}

void Tokenizer::StoreBytes() {
  bytes_from_.reserve(data_.tokens.size() + 1);
  for (std::size_t id = 0; id < data_.tokens.size(); ++id) {
    bytes_from_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    const TokenType type = data_.types[id];
    if (type == TokenType::kUnused) continue;
    const bool added = IsAdded(type);
    std::string normalized;
    std::string_view token = data_.tokens[id];
    if (added && RuleOf(data_, static_cast<int>(id)).normalized)
      token = normalized = NormalizedForm(data_, data_.tokens[id]);
    if (data_.alphabet == Alphabet::kBytes) {
      if (added || !AppendBytesOfSpelling(token, bytes_)) bytes_ += token;
    } else if (const int byte = data_.byte_fallback && !added ? ByteOfToken(token) : -1; byte >= 0) {
      bytes_ += static_cast<char>(byte);
    } else {
      const bool spelled = data_.spaces.stage != Stage::kNone;
      for (std::size_t i = 0, length = 0; i < token.size(); i += length) {
        const std::size_t space = spelled ? SpaceAt(token, i) : 0;
        length = std::max<std::size_t>(space, 1);
        bytes_ += space > 0 ? ' ' : token[i];
      }
    }
  }
  bytes_from_.push_back(static_cast<std::uint32_t>(bytes_.size()));
}

Tokenizer::WorkspaceLoan::WorkspaceLoan(const Tokenizer& lender) : owner(lender) {
  {
    const std::lock_guard lock(owner.mutex_);
    if (!owner.idle_.empty()) {
      workspace = std::move(owner.idle_.back());
      owner.idle_.pop_back();
    }
  }
  if (workspace == nullptr) workspace = std::make_unique<Workspace>();
}

Tokenizer::WorkspaceLoan::~WorkspaceLoan() {
  const std::lock_guard lock(owner.mutex_);
  owner.idle_.push_back(std::move(workspace));
}

std::vector<int> Tokenizer::Encode(std::string_view text, bool parse_special) const {
  const WorkspaceLoan loan(*this);
  Workspace& work = *loan.workspace;
  std::vector<int> ids;
  ids.reserve(text.size() / 3 + 8);
  std::size_t done = 0;
  for (const TokenMatcher::Match& match : added_.raw().FindAll(text, parse_special)) {
    EncodeStretch(text.substr(done, match.begin - done), done == 0, parse_special, work, ids);
    ids.push_back(match.id);
    done = match.end;
  }
  EncodeStretch(text.substr(done), done == 0, parse_special, work, ids);
  return ids;
}

void Tokenizer::EncodeStretch(std::string_view text, bool at_start, bool parse_special, Workspace& work,
                              std::vector<int>& ids) const {
  if (data_.nfc) text = NormalizeNfc(text, work.normalized);
  std::string collapsed;
  if (data_.spaces.collapse) text = collapsed = CollapseSpaces(text);
  if (!added_.MayHoldNormalized(text, parse_special)) {
    EncodePlain(text, TakesPrefix(text, at_start), work, ids);
    return;
  }
  const bool spelled = data_.spaces.stage == Stage::kNormalizer;
  const std::string normalized = spelled ? SpellSpaces(text, TakesPrefix(text, at_start)) : std::string(text);
  std::size_t done = 0;
  const auto encode_until = [&](std::size_t end) {
    const std::string_view part = std::string_view(normalized).substr(done, end - done);
    EncodePlain(part, !spelled && TakesPrefix(part, at_start && done == 0), work, ids);
  };
  for (const TokenMatcher::Match& match : added_.normalized().FindAll(normalized, parse_special)) {
    encode_until(match.begin);
    ids.push_back(match.id);
    done = match.end;
  }
  encode_until(normalized.size());
}

bool Tokenizer::TakesPrefix(std::string_view stretch, bool at_start) const {
  const SpaceSpelling& spaces = data_.spaces;
  if (spaces.prefix == Prefix::kNever || (spaces.prefix == Prefix::kTextStart && !at_start)) return false;
  return spaces.stage == Stage::kNormalizer || !StartsWithSpace(stretch);
}

void Tokenizer::EncodePlain(std::string_view text, bool prefix, Workspace& work,
                            std::vector<int>& ids) const {
  if (text.empty()) return;
  if (data_.spaces.stage != Stage::kNone) {
    EncodeSpacedText(text, prefix, work, ids);
    return;
  }
  pre_tokenizer_.ForEachPiece(text, [&](std::string_view piece) { EncodePiece(piece, work, ids); });
}

void Tokenizer::EncodeSpacedText(std::string_view text, bool prefix, Workspace& work,
                                 std::vector<int>& ids) const {
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    if (cuts_at_spaces_) {
      std::size_t space = SpaceAt(text, end);
      for (; end < text.size() && space > 0; space = end < text.size() ? SpaceAt(text, end) : 0) {
        end += space;
        if (data_.spaces.cut) break;
      }
      while (end < text.size() && SpaceAt(text, end) == 0) ++end;
    } else {
      end = text.size();
    }
    std::string_view piece = text.substr(begin, end - begin);
    if (begin == 0 && prefix) {
      work.prefixed = kSpaceSign;
      work.prefixed += piece;
      piece = work.prefixed;
    }
    EncodePiece(piece, work, ids);
  }
}

void Tokenizer::EncodePiece(std::string_view piece, Workspace& work, std::vector<int>& ids) const {
  if (const auto known = work.words.Find(piece)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  std::vector<int>& symbols = work.symbols;
  symbols.clear();
  if (const std::optional<int> whole = data_.ignore_merges ? WholeToken(piece) : std::nullopt) {
    symbols.push_back(*whole);
  } else {
    symbols_.Append(piece, symbols);
    merges_.Apply(symbols, work.merging);
    symbols_.ToIds(symbols);
  }
  work.words.Add(piece, symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

std::optional<int> Tokenizer::WholeToken(std::string_view piece) const {
  const bool bytes = data_.alphabet == Alphabet::kBytes, spaced = data_.spaces.stage != Stage::kNone;
  const std::optional<int> id = index_.Find(bytes    ? SpellBytes(piece)
                                            : spaced ? SpellSpaces(piece, false)
                                                     : std::string(piece));
  return id && data_.types[*id] == TokenType::kNormal ? id : std::nullopt;
}

std::vector<int> Tokenizer::WithTemplate(std::vector<int> ids) const {
  ids.insert(ids.begin(), data_.before.begin(), data_.before.end());
  ids.insert(ids.end(), data_.after.begin(), data_.after.end());
  return ids;
}

std::span<const int> Tokenizer::WithoutTemplate(std::span<const int> ids) const {
  const std::size_t before = data_.before.size(), after = data_.after.size();
  if (ids.size() >= before && std::ranges::equal(ids.first(before), data_.before)) ids = ids.subspan(before);
  if (ids.size() >= after && std::ranges::equal(ids.last(after), data_.after))
    ids = ids.first(ids.size() - after);
  return ids;
}

std::string Tokenizer::Decode(std::span<const int> ids, bool skip_special) const {
  std::string text;
  for (const int id : ids)
    if (!skip_special || !(IsControl(id) || id == data_.unknown)) text += BytesOf(id);
  if (data_.spaces.strip_decoded && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::string_view Tokenizer::BytesOf(int id) const {
  if (id < 0 || id >= size()) return {};
  return std::string_view(bytes_).substr(bytes_from_[id], bytes_from_[id + 1] - bytes_from_[id]);
}

bool Tokenizer::IsControl(int id) const {
  return id >= 0 && id < size() && data_.types[id] == TokenType::kControl;
}

}  // namespace forge::text
