// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace forge::text {

/// What a token is; the numbers are those of GGUF's tokenizer.ggml.token_type.
enum class TokenType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

/// What text is made of before merging.
enum class Alphabet {
  kBytes,  // GPT-2's byte-level BPE: tokens are spelled with visible characters ("Ġthe", byte_alphabet.h)
  kCharacters  // Llama 2's SentencePiece BPE: tokens are plain text with "▁" for a space
};

/// One step of BPE: the tokens `left` and `right`, side by side, become `result`.
struct Merge {
  int left, right, result;
  bool operator==(const Merge&) const = default;
};

/// How a control or user-defined token is looked for in text (AddedToken of Hugging Face tokenizers).
struct AddedTokenRule {
  int id;
  bool single_word = false;             // only where no word character stands beside it
  bool lstrip = false, rstrip = false;  // takes the white space on that side with it
  bool normalized = false;              // its normalized form is looked for, in the normalized text
  bool operator==(const AddedTokenRule&) const = default;
};

/// How spaces become "▁" (U+2581) before merging. Only with Alphabet::kCharacters.
struct SpaceSpelling {
  /// Where it happens, which decides what added tokens with `normalized` are compared with: kNormalizer
  /// (Prepend and Replace of Hugging Face, and SentencePiece itself), before they are looked for;
  /// kPreTokenizer (Metaspace), after.
  enum class Stage { kNone, kNormalizer, kPreTokenizer };
  /// Where a "▁" is put in front: nowhere; at the start of the text; at the start of each stretch between
  /// tokens found in the text. With kPreTokenizer only if the stretch does not start with a space anyway.
  enum class Prefix { kNever, kTextStart, kEachStretch };

  Stage stage = Stage::kNone;
  Prefix prefix = Prefix::kNever;
  bool cut = false;            // each "▁" starts a piece (Metaspace with split)
  bool collapse = false;       // runs of spaces become one, none at either end (remove_extra_whitespaces)
  bool strip_decoded = false;  // Decode leaves out one space at the start
  bool operator==(const SpaceSpelling&) const = default;
};

/// A BPE tokenizer as data, whatever file it came from.
struct TokenizerData {
  Alphabet alphabet = Alphabet::kBytes;
  std::vector<std::string> tokens;  // by id; normal ones spelled in the alphabet, the others as plain text
  std::vector<TokenType> types;     // by id
  std::vector<Merge> merges;        // the best first. A pair that occurs twice has its last rank
  /// By id; empty unless the tokenizer is SentencePiece's own: then `merges` is empty, any two neighbours
  /// whose text together is a normal, user-defined or unused token may merge, the highest score first.
  std::vector<float> scores;
  std::vector<AddedTokenRule>
      added;  // rules that are not the default, by id; of control and user-defined tokens

  bool nfc = false;  // normalize the text to Unicode NFC first
  SpaceSpelling spaces;
  /// Text is cut at the matches of each pattern in turn; matches and what lies between them stay apart. None:
  /// no cut.
  std::vector<std::string> split_patterns;
  bool ignore_merges = false;  // a piece that is a token as a whole is not built from merges (Llama 3)
  bool byte_fallback = false;  // a character without a token becomes its bytes, "<0xE2>"
  bool fuse_unknown = false;   // neighbouring unknown characters become one unknown token

  std::optional<int> bos, eos, pad, unknown;
  /// What the model was trained to see around a text: ids in front of it and after it. Encode adds neither.
  std::vector<int> before, after;
  std::string chat_template;  // Jinja; empty: none

  bool adds_bos() const { return bos && !before.empty() && before.front() == *bos; }
};

/// True for the types that are looked for in text as a whole: control, unknown (both only when asked for) and
/// user-defined.
bool IsAdded(TokenType type);
/// The rule of a token: that of `data.added`, or the default.
AddedTokenRule RuleOf(const TokenizerData& data, int id);

/// The regular expression of GPT-2 (openai/gpt-2, encoder.py), as Hugging Face's ByteLevel applies it.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// Every number character on its own (Digits with individual_digits).
inline constexpr const char* kDigitPattern = R"(\p{N})";
/// Qwen2 and Qwen2.5: like Llama 3, but every digit on its own.
inline constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// SentencePiece's sign for a space, U+2581.
inline constexpr const char* kSpaceSign = "\u2581";

}  // namespace forge::text
