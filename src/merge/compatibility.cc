// SPDX-License-Identifier: Apache-2.0
#include "merge/compatibility.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "model/architecture.h"

namespace forge::merge {
namespace {

using Kind = Difference::Kind;

constexpr const char* kOneFamily = "merge fine-tunes of one base model";
constexpr const char* kFromBase =
    "the merged model has one value: that of the base unless you choose another";

std::string Describe(const model::RopeScaling& scaling) {
  if (scaling.type == model::RopeScaling::Type::kNone) return "none";
  if (scaling.type == model::RopeScaling::Type::kLinear) return fmt::format("linear by {:g}", scaling.factor);
  return fmt::format("llama3 by {:g} (low {:g}, high {:g}, from {})", scaling.factor, scaling.low_freq_factor,
                     scaling.high_freq_factor, scaling.original_max_position_embeddings);
}

/// Compares two models and notes what differs.
class Comparison {
 public:
  Comparison(const ModelFacts& first, const ModelFacts& other, std::vector<Difference>& differences)
      : first_(first), other_(other), differences_(differences) {}

  void Configs() {
    const model::ModelConfig &a = first_.config, &b = other_.config;
    Architectures();
    Compare(Kind::kForbids, "hidden_size", a.hidden_size, b.hidden_size, kOneFamily);
    Compare(Kind::kForbids, "intermediate_size", a.intermediate_size, b.intermediate_size, kOneFamily);
    Compare(Kind::kForbids, "num_hidden_layers", a.num_hidden_layers, b.num_hidden_layers, kOneFamily);
    Compare(Kind::kForbids, "num_attention_heads", a.num_attention_heads, b.num_attention_heads, kOneFamily);
    Compare(Kind::kForbids, "num_key_value_heads", a.num_key_value_heads, b.num_key_value_heads, kOneFamily);
    Compare(Kind::kForbids, "head_dim", a.head_dim, b.head_dim, kOneFamily);
    Compare(Kind::kForbids, "attention_bias", a.attention_bias, b.attention_bias, kOneFamily);
    Compare(
        Kind::kNeedsDecision, "vocab_size", a.vocab_size, b.vocab_size,
        "choose whose vocabulary the merged model has; rows are mixed only where ids mean the same token");
    Compare(Kind::kNeedsDecision, "tie_word_embeddings", a.tie_word_embeddings, b.tie_word_embeddings,
            "untie the tied model first (its head is a copy of its embedding), or drop the other's head");
    Compare(Kind::kNeedsDecision, "rope_theta", a.rope_theta, b.rope_theta, kFromBase);
    Compare(Kind::kNeedsDecision, "rope_scaling", Describe(a.rope_scaling), Describe(b.rope_scaling),
            kFromBase);
    Compare(Kind::kNeedsDecision, "rms_norm_eps", a.rms_norm_eps, b.rms_norm_eps, kFromBase);
  }

  /// Those that only say how the model is to be used.
  void Uses() {
    Compare(Kind::kNeedsDecision, "max_position_embeddings", first_.config.max_position_embeddings,
            other_.config.max_position_embeddings, kFromBase);
    Compare(Kind::kNeedsDecision, "eos_token_id", first_.config.eos_token_ids, other_.config.eos_token_ids,
            kFromBase);
    Compare(Kind::kNeedsDecision, "type", first_.type, other_.type,
            "weights are mixed as float32 after rounding; choose the type that the result is stored as");
  }

  void Tokenizers() {
    for (const ModelFacts* model : {&first_, &other_})
      if (!model->tokenizer_error.empty())
        return Add(Kind::kNeedsDecision, "tokenizer",
                   fmt::format("the tokenizer of {} cannot be read: {}", model->name, model->tokenizer_error),
                   "make sure that all models have the same tokenizer");
    if (!first_.tokenizer || !other_.tokenizer) {
      if (first_.tokenizer.has_value() != other_.tokenizer.has_value())
        Add(Kind::kNeedsDecision, "tokenizer",
            fmt::format("{} has a tokenizer, {} has none", (first_.tokenizer ? first_ : other_).name,
                        (first_.tokenizer ? other_ : first_).name),
            "make sure that both were trained with it");
      return;
    }
    const TokenizerFacts &a = *first_.tokenizer, &b = *other_.tokenizer;
    Tokens(a.tokens, b.tokens);
    for (const char* name : {"bos", "eos", "pad"}) {
      const auto id = [&](const TokenizerFacts& facts) {
        const auto found = facts.special_ids.find(name);
        return found == facts.special_ids.end() ? std::string("none") : fmt::format("{}", found->second);
      };
      Compare(Kind::kNeedsDecision, fmt::format("{} of the tokenizer", name).c_str(), id(a), id(b),
              kFromBase);
    }
    if (a.chat_template != b.chat_template)
      Add(Kind::kNeedsDecision, "chat_template",
          fmt::format("the chat templates of {} ({} characters) and {} ({}) differ", first_.name,
                      a.chat_template.size(), other_.name, b.chat_template.size()),
          "take the template of the models whose manner of chatting you want");
  }

 private:
  void Add(Kind kind, std::string field, std::string text, std::string advice) {
    differences_.push_back({kind, std::move(field), std::move(text), std::move(advice)});
  }
  template <class Value>
  void Compare(Kind kind, const char* field, const Value& a, const Value& b, const char* advice) {
    if (a != b)
      Add(kind, field, fmt::format("{} is {} in {} and {} in {}", field, a, first_.name, b, other_.name),
          advice);
  }

  /// Architectures with the same tensors and the same computation may be mixed: Llama and Mistral.
  void Architectures() {
    const std::string &a = first_.config.model_type, &b = other_.config.model_type;
    const model::Architecture *first = model::FindArchitecture(a), *other = model::FindArchitecture(b);
    const bool are_alike =
        first != nullptr && other != nullptr && std::string_view(first->gguf_name) == other->gguf_name;
    Compare(are_alike ? Kind::kNeedsDecision : Kind::kForbids, "model_type", a, b,
            are_alike ? kFromBase : kOneFamily);
  }

  void Tokens(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    const std::size_t common = std::min(a.size(), b.size());
    std::size_t count = 0, first_id = 0;
    for (std::size_t id = 0; id < common; ++id)
      if (a[id] != b[id] && ++count == 1) first_id = id;
    constexpr const char* kAdvice =
        "choose whose vocabulary the merged model has; rows are mixed only where ids mean the same token";
    if (count > 0)
      Add(Kind::kNeedsDecision, "tokens",
          fmt::format("{} of {} tokens differ in {} and {}, the first at id {}: \"{}\" and \"{}\"", count,
                      common, first_.name, other_.name, first_id, a[first_id], b[first_id]),
          kAdvice);
    if (a.size() != b.size())
      Add(Kind::kNeedsDecision, "tokens",
          fmt::format("the tokenizer has {} tokens in {} and {} in {}", a.size(), first_.name, b.size(),
                      other_.name),
          kAdvice);
  }

  const ModelFacts &first_, &other_;
  std::vector<Difference>& differences_;
};

}  // namespace

std::vector<Difference> CompareModels(const std::vector<ModelFacts>& models) {
  std::vector<Difference> differences;
  for (std::size_t i = 1; i < models.size(); ++i) {
    Comparison comparison(models.front(), models[i], differences);
    comparison.Configs();
    comparison.Uses();
    comparison.Tokenizers();
  }
  return differences;
}

void RefuseDifferences(const std::string& what, const std::vector<Difference>& differences,
                       const std::map<std::string, std::string>& fixes) {
  if (differences.empty()) return;
  std::vector<std::string> texts, advice;
  for (const Difference& difference : differences) {
    texts.push_back(difference.text);
    const auto fix = fixes.find(difference.field);
    std::string text = fix != fixes.end() ? fix->second : difference.advice;
    if (std::find(advice.begin(), advice.end(), text) == advice.end()) advice.push_back(std::move(text));
  }
  throw Error({.kind = ErrorKind::kInput,
               .what = what,
               .why = fmt::format("{}", fmt::join(texts, "; ")),
               .fix = fmt::format("{}", fmt::join(advice, "; "))});
}

}  // namespace forge::merge
