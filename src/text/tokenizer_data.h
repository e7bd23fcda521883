// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace forge::text {

/// What a token is; the numbers are those of GGUF's tokenizer.ggml.token_type.
enum class TokenType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

/// A byte-level BPE tokenizer as data, whatever file it came from.
struct TokenizerData {
  std::vector<std::string>
      tokens;  // by id; normal ones in the byte alphabet ("Ġthe"), the others as plain text
  std::vector<TokenType> types;                             // by id
  std::vector<std::pair<std::string, std::string>> merges;  // the best first
  /// Text is cut at the matches of each pattern in turn; matches and what lies between them stay apart. None:
  /// no cut.
  std::vector<std::string> split_patterns;
  bool nfc = false;            // normalize the text to Unicode NFC first
  bool ignore_merges = false;  // a piece that is a token as a whole is not built from merges (Llama 3)
  std::optional<int> bos, eos, pad, unknown;
  bool add_bos = false;       // the model was trained with bos in front; Encode does not add it
  std::string chat_template;  // Jinja; empty: none
};

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

}  // namespace forge::text
