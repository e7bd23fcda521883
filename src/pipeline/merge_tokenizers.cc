// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_tokenizers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "merge/compatibility.h"
#include "pipeline/model_reference.h"
#include "text/load_tokenizer.h"

namespace forge::pipeline {
namespace {

using text::TokenizerData;

/// Facts with one and the same config, so that only the tokenizers are compared. The ids of bos, eos and pad
/// are left out: in different vocabularies the same token has different ones.
merge::ModelFacts FactsOf(const ModelTokenizer& model) {
  merge::ModelFacts facts{.name = model.name, .config = {}, .type = "", .tokenizer = {}};
  facts.tokenizer_error = model.problem;
  if (model.data)
    facts.tokenizer = {
        .tokens = model.data->tokens, .special_ids = {}, .chat_template = model.data->chat_template};
  return facts;
}

/// "<|im_end|>", in quotes; "none".
std::string TextOf(const TokenizerData& data, const std::optional<int>& id) {
  const bool is_there = id && *id >= 0 && static_cast<std::size_t>(*id) < data.tokens.size();
  return is_there ? fmt::format("\"{}\"", data.tokens[static_cast<std::size_t>(*id)]) : "none";
}

void NoteSpecials(const TokenizerData& result, const ModelTokenizer& other, std::vector<std::string>& notes) {
  const TokenizerData& data = *other.data;
  for (const auto& [role, ours, theirs] : {std::tuple{"bos", result.bos, data.bos},
                                           {"eos", result.eos, data.eos},
                                           {"pad", result.pad, data.pad}}) {
    const std::string a = TextOf(result, ours), b = TextOf(data, theirs);
    if (a != b) notes.push_back(fmt::format("{} of the result is {}; {} has {}", role, a, other.name, b));
  }
}

void NoteCuts(const ModelTokenizer& owner, const ModelTokenizer& other, std::vector<std::string>& notes) {
  const TokenizerData &a = *owner.data, &b = *other.data;
  std::vector<std::string> ways;
  if (a.alphabet != b.alphabet) ways.emplace_back("the spelling of tokens");
  if (a.nfc != b.nfc) ways.emplace_back("the normalization to NFC");
  if (a.split_patterns != b.split_patterns) ways.emplace_back("where text is cut");
  if (a.spaces != b.spaces) ways.emplace_back("the spelling of spaces");
  if (a.byte_fallback != b.byte_fallback) ways.emplace_back("what becomes of unknown characters");
  if (!ways.empty())
    notes.push_back(
        fmt::format("the tokenizers of {} and {} differ in {}; the result does it as {}, so what "
                    "{} learned meets text in other pieces",
                    owner.name, other.name, fmt::join(ways, ", "), owner.name, other.name));
}

}  // namespace

ModelTokenizer ReadModelTokenizer(const std::string& name, const std::filesystem::path& path) {
  ModelTokenizer tokenizer{.name = name, .base = PartsOf(path).base, .data = {}, .problem = ""};
  if (!HasTokenizer(tokenizer.base)) return tokenizer;
  try {
    tokenizer.data = text::LoadTokenizer(tokenizer.base)->data();
  } catch (const Error& error) {
    tokenizer.problem = error.fields().why;
  }
  return tokenizer;
}

std::vector<std::string> TokenizerNotes(const ModelTokenizer& owner,
                                        const std::vector<ModelTokenizer>& models, bool has_one_vocabulary,
                                        const std::string& chat_template) {
  std::vector<std::string> notes;
  for (const ModelTokenizer& model : models) {
    if (model.name == owner.name) continue;
    for (const merge::Difference& difference : merge::CompareModels({FactsOf(owner), FactsOf(model)})) {
      if (difference.field == "chat_template")
        notes.push_back(fmt::format("{}; the result has {}", difference.text, chat_template));
      else if (difference.field != "tokens")
        notes.push_back(fmt::format("{}; {}", difference.text, difference.advice));
      else if (!has_one_vocabulary)
        notes.push_back(difference.text +
                        "; rows are merged id by id, \"tokenizer_source: union\" (or base) would do it token "
                        "by token");
    }
    if (!owner.data || !model.data) continue;
    NoteCuts(owner, model, notes);
    NoteSpecials(*owner.data, model, notes);
  }
  return notes;
}

}  // namespace forge::pipeline
