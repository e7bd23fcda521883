// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "merge/vocabulary.h"
#include "pipeline/merge_tokenizers.h"
#include "text/tokenizer_data.h"

namespace forge::pipeline {

/// A tokenizer without the tokens from `count` on, for which the embedding has no row: with them go their
/// merges, rules, and what they were as bos, eos, pad, unknown or around a text.
text::TokenizerData KeepTokens(text::TokenizerData data, std::size_t count);

/// The tokenizer of a union of vocabularies (merge::PlanVocabulary): that of models[leader], with the tokens
/// which only the others have behind its own, in the plan's order. bos, eos, pad, unknown, the ways of
/// splitting and spelling, and the chat template are the leader's.
///
/// A new token has the type that the first model with it gives it, control and user-defined ones with their
/// rule; another model's unknown token becomes a control token. New normal tokens are made by the merges of
/// their models, which come after all of the leader's: text is cut as the leader does it, and only then are
/// its tokens joined to new ones. (mergekit leaves the merges out and adds the tokens as texts to be looked
/// for. Then "Ġword" is never found, since no text contains its spelling, and "ing" is found inside of any
/// word, before the merges, which changes the tokens of the leader's own texts.)
///
/// All must spell tokens in the same alphabet; throws Error(kInput) naming both models otherwise: no token of
/// the one could be made by the way in which the other reads text. Every model must have its data.
text::TokenizerData MakeUnionTokenizer(const merge::VocabularyPlan& plan,
                                       const std::vector<ModelTokenizer>& models, std::size_t leader);

/// The normal tokens from id `first` on that the tokenizer does not make of their own text: no merges lead to
/// them, or its way to split comes between. Only for byte-level tokenizers; nothing for others, which put
/// spaces in front.
std::vector<std::string> TokensNeverMade(const text::TokenizerData& data, std::size_t first);

}  // namespace forge::pipeline
